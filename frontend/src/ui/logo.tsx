/** The mark: an envelope's fold over two waves. */
export function Logo({ className }: { className?: string }) {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true" className={className}>
      <defs>
        <linearGradient id="logo-fill" x1="0" y1="0" x2="1" y2="1">
          <stop stopColor="#22d3ee" />
          <stop offset="1" stopColor="#4f46e5" />
        </linearGradient>
      </defs>
      <rect width="32" height="32" rx="9" fill="url(#logo-fill)" />
      <g fill="none" stroke="#fff" strokeWidth="2.4" strokeLinecap="round" strokeLinejoin="round">
        <path d="M5 19c3.500 0 3.500-4 7.300-4s3.800 4 7.400 4 3.800-4 7.300-4M5 24.500c3.500 0 3.500-4 7.300-4s3.800 4 7.400 4 3.800-4 7.300-4" />
        <path d="m8 7.500 8 4.500 8-4.500" />
      </g>
    </svg>
  );
}

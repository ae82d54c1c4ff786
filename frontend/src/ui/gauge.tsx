import { formatCount, formatShare } from "@/lib/format";

/** A share of a limit as an arc: calm while there is room, warm when it is nearly used up. */
export function Gauge({ label, used, limit }: { label: string; used: number; limit: number }) {
  const share = limit > 0 ? Math.min(1, used / limit) : 0;
  const length = Math.PI * 52;
  const color = share >= 1 ? "var(--bad)" : share > 0.85 ? "var(--warn)" : "var(--accent-2)";
  return (
    <svg
      viewBox="0 0 128 74"
      role="img"
      aria-label={`${label}: ${formatCount(used)} of ${formatCount(limit)}`}
      className="w-full max-w-52"
    >
      <path d="M12 66a52 52 0 0 1 104 0" fill="none" stroke="var(--line-2)" strokeWidth="11" strokeLinecap="round" />
      {share > 0 ? (
        <path
          d="M12 66a52 52 0 0 1 104 0"
          fill="none"
          stroke={color}
          strokeWidth="11"
          strokeLinecap="round"
          strokeDasharray={`${share * length} ${length}`}
          className="transition-[stroke-dasharray] duration-700"
        />
      ) : null}
      <text x="64" y="58" textAnchor="middle" className="num fill-ink text-[22px] font-semibold">
        {formatShare(used, limit)}
      </text>
    </svg>
  );
}

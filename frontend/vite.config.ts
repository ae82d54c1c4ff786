import { fileURLToPath } from "node:url";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

/** Where `npm run dev` finds the API. */
const api = process.env.MAILTIDE_API ?? "http://127.0.0.1:3000";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  server: {
    host: "127.0.0.1",
    proxy: Object.fromEntries(
      ["/api", "/auth", "/u", "/openapi.json", "/docs", "/healthz", "/readyz", "/version"].map((path) => [path, api]),
    ),
  },
  build: {
    outDir: "dist",
    target: "es2022",
    // light-dark() is written as it is (browsers of 2024 and later): its fallback knows one scheme per page only.
    cssTarget: ["chrome123", "edge123", "firefox121", "safari17.5"],
    // The Content-Security-Policy allows no data: scripts or fonts, so nothing is inlined.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  test: {
    environment: "jsdom",
    setupFiles: ["src/testing/setup.ts"],
    include: ["src/**/*.test.{ts,tsx}"],
    css: false,
    testTimeout: 30_000,
    env: { TZ: "Europe/Berlin" },
  },
});

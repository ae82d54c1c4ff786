import "./styles.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "@/app/app";
import { applyTheme } from "@/lib/theme";

applyTheme();

async function start(): Promise<void> {
  // `vite --mode mock` runs the dashboard without a server. The condition is a constant of the build: nothing of it ships.
  if (import.meta.env.MODE === "mock") (await import("@/testing/mock-mode")).installMockApi();
  const root = document.getElementById("root");
  if (root) {
    createRoot(root).render(
      <StrictMode>
        <App />
      </StrictMode>,
    );
  }
}

void start();

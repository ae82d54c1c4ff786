/** `npx vite --mode mock`: the dashboard with sample data and no server. Never part of a build. */
import { mockFetch, sampleRoutes } from "@/testing/mock-api";

export function installMockApi(): void {
  window.fetch = mockFetch(sampleRoutes()).fetch;
}

import { defineConfig } from "@hey-api/openapi-ts";

/** Types of the API, generated from the server's own description and committed. */
export default defineConfig({
  input: process.env.OPENAPI ?? "http://127.0.0.1:3000/openapi.json",
  output: process.env.CLIENT_OUTPUT ?? "src/api/generated",
  plugins: ["@hey-api/typescript"],
});

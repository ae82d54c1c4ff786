/** Server faults land at the fields they are about. */
import type { FieldPath, FieldValues, UseFormSetError } from "react-hook-form";
import { ApiError } from "@/api/http";

/**
 * Put each fault of a problem document at the form's field of that name ("/host" → "host").
 * Returns what fits no field, as a sentence for the form as a whole, or null.
 */
export function placeFaults<Values extends FieldValues>(
  error: unknown,
  fields: ReadonlyArray<FieldPath<Values>>,
  setError: UseFormSetError<Values>,
): string | null {
  if (!(error instanceof ApiError)) return error instanceof Error ? error.message : "Something went wrong.";
  const rest: string[] = [];
  for (const { pointer, detail } of error.faults) {
    const field = fields.find((name) => `/${name}` === pointer);
    if (field) setError(field, { message: detail });
    else rest.push(detail);
  }
  return error.faults.length === 0 ? error.message : rest.join(" ") || null;
}

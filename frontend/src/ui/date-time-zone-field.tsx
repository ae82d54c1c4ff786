import { useMemo } from "react";
import { useNow } from "@/lib/clock";
import { formatInZone, formatRelative, formatUtc } from "@/lib/format";
import { listZones, toInstant, type WallTime, zoneOffset } from "@/lib/zoned";
import { Combobox } from "@/ui/combobox";
import { Field, FieldError, Input } from "@/ui/field";

type DateTimeZoneFieldProps = { value: WallTime; onChange: (value: WallTime) => void; error?: string | undefined };

/** Date, time and zone, and below them what that means in a plain sentence. */
export function DateTimeZoneField({ value, onChange, error }: DateTimeZoneFieldProps) {
  const now = useNow();
  const instant = toInstant(value);
  const zones = useMemo(() => {
    const today = new Date();
    return listZones().map((zone) => ({
      value: zone,
      label: zone.replaceAll("_", " "),
      hint: zoneOffset(zone, today),
    }));
  }, []);
  return (
    <div className="flex flex-col gap-3">
      <div className="grid gap-3 sm:grid-cols-[1fr_9.5rem_minmax(0,1.4fr)]">
        <Field label="Date">
          {(ids) => (
            <Input
              {...ids}
              type="date"
              value={value.date}
              onChange={(event) => onChange({ ...value, date: event.target.value })}
            />
          )}
        </Field>
        <Field label="Time">
          {(ids) => (
            <Input
              {...ids}
              type="time"
              step={1}
              value={value.time}
              onChange={(event) => onChange({ ...value, time: event.target.value })}
            />
          )}
        </Field>
        <Field label="Time zone">
          {(ids) => (
            <Combobox ids={ids} value={value.zone} options={zones} onChange={(zone) => onChange({ ...value, zone })} />
          )}
        </Field>
      </div>
      {instant.kind === "fault" ? (
        <FieldError>{instant.fault}</FieldError>
      ) : (
        <p className="text-sm text-ink-2" aria-live="polite">
          <strong className="font-semibold text-ink">{formatInZone(instant.at, value.zone)}</strong>,{" "}
          {formatRelative(instant.at, now)}
          <span className="num text-ink-3"> · {formatUtc(instant.at)}</span>
          {instant.note !== undefined ? <span className="block text-warn-text">{instant.note}</span> : null}
          {instant.at <= now ? (
            <span className="block text-warn-text">This time is past: it would go out at once.</span>
          ) : null}
        </p>
      )}
      {error !== undefined ? <FieldError>{error}</FieldError> : null}
    </div>
  );
}

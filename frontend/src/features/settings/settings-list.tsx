import { Pencil, Trash2 } from "lucide-react";
import type { ReactNode } from "react";
import { IconButton } from "@/ui/button";

type SettingsRowProps = {
  title: ReactNode;
  text?: ReactNode;
  name: string;
  onEdit?: () => void;
  onDelete?: () => void;
  deleteReason?: string | null;
};

/** One thing of a settings list: what it is, what can be done. */
export function SettingsRow({ title, text, name, onEdit, onDelete, deleteReason }: SettingsRowProps) {
  return (
    <li className="flex items-center justify-between gap-4 px-5 py-3.5">
      <div className="min-w-0">
        <div className="flex flex-wrap items-center gap-2 text-sm font-medium">{title}</div>
        {text !== undefined ? <div className="mt-0.5 text-[0.8125rem] break-words text-ink-2">{text}</div> : null}
      </div>
      <div className="flex shrink-0">
        {onEdit ? (
          <IconButton label={`Change ${name}`} icon={<Pencil aria-hidden className="size-4" />} onClick={onEdit} />
        ) : null}
        {onDelete ? (
          <IconButton
            label={`Delete ${name}`}
            icon={<Trash2 aria-hidden className="size-4" />}
            disabledReason={deleteReason}
            onClick={onDelete}
          />
        ) : null}
      </div>
    </li>
  );
}

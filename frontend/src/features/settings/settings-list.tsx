import { Pencil, Trash2 } from "lucide-react";
import type { ReactNode } from "react";
import { IconButton } from "@/ui/button";

type SettingsRowProps = {
  title: ReactNode;
  text?: ReactNode;
  name: string;
  /** Beside change and delete: what else can be done. */
  actions?: ReactNode;
  onEdit?: () => void;
  editReason?: string | null;
  onDelete?: () => void;
  deleteReason?: string | null;
  /** Over the whole width, under the rest: what came of an act. */
  below?: ReactNode;
};

/** One thing of a settings list: what it is, what can be done. */
export function SettingsRow({
  title,
  text,
  name,
  actions,
  onEdit,
  editReason,
  onDelete,
  deleteReason,
  below,
}: SettingsRowProps) {
  return (
    <li className="px-5 py-3.5">
      <div className="flex flex-wrap items-center justify-between gap-x-4 gap-y-2 sm:flex-nowrap">
        <div className="min-w-0 grow basis-40">
          <div className="flex flex-wrap items-center gap-2 text-sm font-medium">{title}</div>
          {text !== undefined ? <div className="mt-0.5 text-[0.8125rem] break-words text-ink-2">{text}</div> : null}
        </div>
        <div className="ml-auto flex shrink-0 items-center gap-1">
          {actions}
          {onEdit ? (
            <IconButton
              label={`Change ${name}`}
              icon={<Pencil aria-hidden className="size-4" />}
              disabledReason={editReason}
              onClick={onEdit}
            />
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
      </div>
      {below}
    </li>
  );
}

import { Check, Copy } from "lucide-react";
import { useState } from "react";
import { Button } from "@/ui/button";

export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const [done, setDone] = useState(false);
  async function copy() {
    await navigator.clipboard.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  }
  const Icon = done ? Check : Copy;
  return (
    <Button size="small" onClick={() => void copy()} icon={<Icon aria-hidden className="size-3.5" />}>
      {done ? "Copied" : label}
    </Button>
  );
}

import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { UserPlus, Users } from "lucide-react";
import { useState } from "react";
import { allRows } from "@/api/fields";
import { describeError } from "@/api/http";
import { meQuery } from "@/api/me";
import { addMember, changeRole, type Member, type Role, removeMember, teamQuery } from "@/api/team";
import { SettingsRow } from "@/features/settings/settings-list";
import { useSettingsReason } from "@/features/settings/use-rights";
import { Badge } from "@/ui/badge";
import { Button } from "@/ui/button";
import { ChoiceCards } from "@/ui/choice-cards";
import { ConfirmDialog, Dialog } from "@/ui/dialog";
import { InputField } from "@/ui/field";
import { Notice, Panel } from "@/ui/panel";
import { EmptyState, QueryState } from "@/ui/states";
import { Time } from "@/ui/time";
import { toast } from "@/ui/toast";

const ROLES = [
  { value: "member", title: "Member", text: "Reads, writes and sends." },
  { value: "owner", title: "Owner", text: "Also changes settings, keys and the team." },
] as const satisfies ReadonlyArray<{ value: Role; title: string; text: string }>;

/** Who may use this account, and how far. */
export function TeamPanel() {
  const query = useInfiniteQuery(teamQuery);
  const members = allRows(query.data);
  const isDemo = useQuery(meQuery).data?.demo ?? false;
  const right = useSettingsReason();
  const reason = isDemo ? "A demo account has no team: it is yours alone." : right;
  const [isAdding, setIsAdding] = useState(false);
  const [changing, setChanging] = useState<Member | null>(null);
  const [dropping, setDropping] = useState<Member | null>(null);
  const queryClient = useQueryClient();
  const add = (
    <Button
      size="small"
      variant="primary"
      icon={<UserPlus aria-hidden className="size-3.5" />}
      disabledReason={reason}
      onClick={() => setIsAdding(true)}
    >
      Add a person
    </Button>
  );
  return (
    <Panel flush title="Team" aside={add}>
      {reason !== null ? <p className="px-5 pb-4 text-sm text-ink-2">{reason}</p> : null}
      <QueryState
        query={query}
        what="The team"
        isEmpty={() => members.length === 0}
        empty={
          <EmptyState icon={<Users aria-hidden />} title="Nobody is in the team yet" action={add}>
            Add people by their address: they are in as soon as they sign in with it.
          </EmptyState>
        }
      >
        {() => (
          <>
            <ul className="divide-y divide-line-2 border-t border-line-2">
              {members.map((member) => (
                <SettingsRow
                  key={member.id}
                  name={nameOf(member)}
                  title={<MemberTitle member={member} />}
                  text={<MemberText member={member} />}
                  onEdit={() => setChanging(member)}
                  editReason={reason}
                  onDelete={() => setDropping(member)}
                  deleteReason={reason}
                />
              ))}
            </ul>
            {query.hasNextPage ? (
              <div className="border-t border-line-2 p-3 text-center">
                <Button size="small" busy={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
                  Show more
                </Button>
              </div>
            ) : null}
          </>
        )}
      </QueryState>
      {isAdding ? <AddDialog onClose={() => setIsAdding(false)} /> : null}
      {changing !== null ? <RoleDialog member={changing} onClose={() => setChanging(null)} /> : null}
      <ConfirmDialog
        open={dropping !== null}
        onClose={() => setDropping(null)}
        title={dropping?.you ? "Leave this account?" : "Take this person out?"}
        confirm={dropping?.you ? "Leave the account" : "Take out"}
        onConfirm={async () => {
          if (dropping === null) return;
          try {
            await removeMember(dropping.id);
          } catch (error) {
            toast.error(describeError(error));
            throw error;
          }
          await queryClient.invalidateQueries(dropping.you ? {} : { queryKey: ["team"] });
        }}
      >
        {dropping?.you
          ? "You are signed out of it at once. API keys stay the account's."
          : `${dropping === null ? "" : nameOf(dropping)} is signed out of this account at once. API keys stay the account's.`}
      </ConfirmDialog>
    </Panel>
  );
}

function nameOf(member: Member): string {
  return member.name || member.email || "Somebody";
}

function MemberTitle({ member }: { member: Member }) {
  return (
    <>
      <span className="min-w-0 wrap-anywhere">{nameOf(member)}</span>
      <Badge tone={member.role === "owner" ? "accent" : "idle"}>{member.role === "owner" ? "Owner" : "Member"}</Badge>
      {member.you ? <Badge tone="info">You</Badge> : null}
      {member.pending ? <Badge tone="warn">Not here yet</Badge> : null}
    </>
  );
}

function MemberText({ member }: { member: Member }) {
  const address = member.name && member.email ? `${member.email} · ` : "";
  return (
    <>
      <span className="wrap-anywhere">{address}</span>
      {member.last_login_at ? (
        <>
          last signed in <Time at={member.last_login_at} />
        </>
      ) : (
        <>
          added <Time at={member.joined_at} />
        </>
      )}
    </>
  );
}

function AddDialog({ onClose }: { onClose: () => void }) {
  const queryClient = useQueryClient();
  const [email, setEmail] = useState("");
  const [role, setRole] = useState<Role>("member");
  const save = useMutation({
    mutationFn: () => addMember({ email: email.trim(), role }),
    onSuccess: async (member) => {
      toast.success(
        member.pending
          ? `${member.email ?? email} may come in as soon as they sign in.`
          : `${nameOf(member)} is in the team.`,
      );
      await queryClient.invalidateQueries({ queryKey: ["team"] });
      onClose();
    },
  });
  const isFilled = email.includes("@");
  return (
    <Dialog
      open
      onClose={onClose}
      title="Add a person"
      description="No mail is sent: tell them the address of this page. They sign in with Google, with the address that you give here."
      footer={
        <Button
          type="submit"
          form="add-member"
          variant="primary"
          busy={save.isPending}
          disabledReason={isFilled ? null : "Give an address."}
        >
          Add
        </Button>
      }
    >
      <form
        id="add-member"
        className="grid gap-4 pb-1"
        onSubmit={(event) => {
          event.preventDefault();
          if (isFilled) save.mutate();
        }}
      >
        <InputField
          label="Email address"
          type="email"
          value={email}
          onChange={(event) => setEmail(event.target.value)}
          placeholder="colleague@example.com"
          error={save.error ? describeError(save.error) : undefined}
        />
        <ChoiceCards label="Role" value={role} choices={ROLES} onChange={setRole} />
      </form>
    </Dialog>
  );
}

function RoleDialog({ member, onClose }: { member: Member; onClose: () => void }) {
  const queryClient = useQueryClient();
  const [role, setRole] = useState<Role>(member.role);
  const save = useMutation({
    mutationFn: () => changeRole(member.id, role),
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: ["team"] });
      // What this person themselves may do may have changed.
      if (member.you) await queryClient.invalidateQueries({ queryKey: meQuery.queryKey });
      onClose();
    },
  });
  return (
    <Dialog
      open
      onClose={onClose}
      title={`The role of ${nameOf(member)}`}
      footer={
        <Button
          variant="primary"
          busy={save.isPending}
          disabledReason={role === member.role ? "It is this role already." : null}
          onClick={() => save.mutate()}
        >
          Save
        </Button>
      }
    >
      <div className="grid gap-4 pb-1">
        <ChoiceCards label="Role" value={role} choices={ROLES} onChange={setRole} />
        {save.error ? <Notice tone="bad">{describeError(save.error)}</Notice> : null}
      </div>
    </Dialog>
  );
}

// A program with types that uses the kit: it is checked, not run. Each expected error is one, or the
// check fails.

import { applyPatch, makePatch } from 'apptuner-relay-client';
import type { Edit, Patch, PatchError, PatchFault } from 'apptuner-relay-client';

const patch: Patch | null = makePatch('before', 'after', { timeLimit: 100, now: () => 0 });
// @ts-expect-error it may be null
const edits: Edit[] = patch.edits;
const code: string = patch === null ? 'after' : applyPatch('before', patch, { label: '00' });
applyPatch('before', JSON.parse('{}') as Record<string, unknown>);
// @ts-expect-error the base is a text
applyPatch(new Uint8Array(1), patch!);
// @ts-expect-error there is no such option
makePatch('before', 'after', { timelimit: 100 });

const first: Edit = [0, 1, 'text'];
const second: Edit = [0, 1, 'text', 'old'];
// @ts-expect-error a text is missing
const third: Edit = [0, 1];
const fault: PatchFault = 'bounds';
// @ts-expect-error no such reason
const other: PatchFault = 'elsewhere';

export function reason(error: unknown): PatchFault | undefined {
  return error instanceof Error ? (error as PatchError).reason : undefined;
}
export { code, edits, fault, first, other, second, third };

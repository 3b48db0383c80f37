// The types of apptuner-relay-client. `build` copies this file to index.d.cts, for CommonJS.

/**
 * One edit of a patch: `text` takes the place of what is from `start` to `end`, in UTF-16 code units
 * of the base. `old`, where it is there, is how the replaced text begins.
 */
export type Edit = [start: number, end: number, text: string, old?: string];

/** How one text is made of another one. */
export interface Patch {
  /** Hex SHA-256 of the base, as UTF-8. */
  base?: string;
  /** Hex SHA-256 of the result, as UTF-8. */
  sha256?: string;
  /** Bytes of the result, as UTF-8. */
  size: number;
  /** UTF-16 code units of the result: its `length`. */
  units: number;
  /** They ascend, and don't overlap. */
  edits: Edit[];
}

export interface MakePatchOptions {
  /** For how long edits are looked for, in milliseconds: 250. */
  timeLimit?: number;
  /** A clock in milliseconds. */
  now?: () => number;
}

/**
 * The patch that makes `text` of `base`: what the message `bundle_patch` has beside its type, `base`,
 * `sha256` and `timestamp`. The texts are two builds of one program.
 *
 * @returns null where the whole is to be sent: the texts are too different, the message would be too
 *   large, it takes too long, or an edit would insert half a surrogate pair.
 */
export function makePatch(base: string, text: string, options?: MakePatchOptions): Patch | null;

/** Why a patch is refused, in the words of the message `bundle_wanted`. */
export type PatchFault =
  | 'malformed'
  | 'too_many'
  | 'order'
  | 'surrogate'
  | 'bounds'
  | 'base'
  | 'old'
  | 'units';

/** What `applyPatch` throws. */
export interface PatchError extends Error {
  reason: PatchFault;
}

export interface ApplyPatchOptions {
  /** The hex SHA-256 of the base: the patch has to name it, and has to be a whole message. */
  label?: string;
}

/**
 * What `patch` makes of `base`.
 *
 * @param patch The message `bundle_patch`, parsed, or what `makePatch` returned.
 * @throws {PatchError} The patch doesn't fit, or isn't what the protocol describes.
 */
export function applyPatch(
  base: string,
  patch: Patch | Record<string, unknown>,
  options?: ApplyPatchOptions,
): string;

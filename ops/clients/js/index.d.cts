// Made by ops/clients/js/build: change the files that it is made of.
// The types of apptuner-relay-client. `build` copies this file to index.d.cts, for CommonJS.

/**
 * One edit of a patch: `text` takes the place of what is from `start` to `end`, in UTF-16 code units
 * of the base. `old`, where it is there, is how the replaced text begins.
 */
export type Edit = [start: number, end: number, text: string, old?: string];

/** How one text is made of another one. */
export interface Patch {
  /** Hex SHA-256 of the UTF-8 of the base. */
  base?: string;
  /** Hex SHA-256 of the UTF-8 of the result. */
  sha256?: string;
  /** Bytes of the result, as UTF-8. */
  size: number;
  /** UTF-16 code units of the result: its `length`. */
  units: number;
  /** They ascend, and don't overlap. */
  edits: Edit[];
}

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

/**
 * What `patch` makes of `base`.
 *
 * @param options.label The hex SHA-256 of `base`: the patch has to name it as its base.
 * @throws {PatchError} The patch doesn't fit, or isn't what the protocol describes.
 */
export function applyPatch(
  base: string,
  patch: Patch | Record<string, unknown>,
  options?: { label?: string },
): string;

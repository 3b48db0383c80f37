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

/** The class of WebSockets: the platform's own, or that of npm's `ws`. */
export type WebSocketClass = new (url: string, ...more: any[]) => object;

/** How a connection ended. */
export interface Ending {
  /** The close code. 1006: without a Close. */
  code: number;
  reason: string;
  /** The HTTP status of a handshake that was refused; null where the platform doesn't say, or none was. */
  status: number | null;
  /** The platform's own words. */
  error: string;
}

/** `waiting`: for the next try. `closed`: for good. */
export type ConnectionState = 'connecting' | 'open' | 'waiting' | 'closed';

export interface StateDetails {
  /** Of `waiting`: milliseconds until the next try. */
  delay?: number;
  /** Of `waiting` and `closed`; null where the program itself has closed. */
  ending?: Ending | null;
}

/** What all clients take. */
export interface ClientOptions {
  /**
   * The relay: `wss://HOST`. Or a channel, as the relay's `--managed` has it: `pusher://KEY@HOST/APP_ID`,
   * `relay://KEY` and so on; the relay's own URL stands in `relay` then.
   */
  url: string;
  /** The relay's URL where `url` is a channel: it lets clients in, and has the bundles. */
  relay?: string;
  session: string;
  /** The platform's own, where it isn't given. */
  WebSocket?: WebSocketClass;
  /** Likewise; only channels and dashboards need it. */
  fetch?: (url: string, options?: any) => Promise<any>;
  /** The relay's `--managed-prefix`: apptuner. */
  channelPrefix?: string;
  timers?: { setTimeout: (action: () => void, ms: number) => any; clearTimeout: (timer: any) => void };
  onState?: (state: ConnectionState, details: StateDetails) => void;
  /** A message that the client itself has no use for, such as `reload` or `error`. */
  onMessage?: (message: Record<string, unknown> & { type: string }) => void;
  onBinary?: (data: ArrayBuffer) => void;
}

export interface Client {
  isConnected(): boolean;
  /** Leaves the session for good. */
  close(): void;
}

export interface BundleOrigin {
  /** Hex SHA-256 of the code; null where it isn't known (yet). */
  sha256: string | null;
  /** `have`: it is the code that was given as such. */
  from: 'whole' | 'patch' | 'url' | 'have';
  /** Where the bundle came with one. */
  sourceMap?: string;
}

export interface PhoneOptions extends ClientOptions {
  /**
   * This code is to run. What it returns or throws is acknowledged; a promise is waited for.
   */
  onBundle: (code: string, origin: BundleOrigin) => unknown;
  /** The SHA-256 of the code that is here: what to keep with it, for `have` at the next start. */
  onLabel?: (sha256: string, code: string) => void;
  /** The code that is here from the start. */
  have?: { code: string; sha256: string };
  /** Whether it takes patches: true. */
  patch?: boolean;
  /** Whether it wants the session's last bundle whenever it joins: true. */
  replay?: boolean;
  /** Whether `onBundle` is acknowledged by itself: true. Without, call `acknowledge`. */
  autoAcknowledge?: boolean;
  /** 1 to 64 of `A-Z a-z 0-9 . _ : -`; one at random where it isn't given. */
  deviceId?: string;
  deviceName?: string;
  model?: string;
  platform?: 'ios' | 'android';
  /** A join token. */
  token?: string;
}

export interface Phone extends Client {
  /** Sends a line of the console. `level` is log, info, warn, error or debug. */
  log(level: string, ...args: unknown[]): void;
  /** Says whether the last bundle runs, once more or in the place of what `onBundle` did. */
  acknowledge(success: boolean, error?: unknown): void;
  /** The SHA-256 of the code that is here; null where it isn't known. */
  label(): string | null;
}

/** Joins a session as a phone. Throws TypeError for an option that can't be right. */
export function connectPhone(options: PhoneOptions): Phone;

export interface Device {
  deviceId: string;
  name: string | null;
  platform: string | null;
  connectedAt: number;
}

/**
 * What a phone said became of a bundle. A relay tells a CLI which phone it is from; one of an earlier
 * version does not, nor does any tell a dashboard, and released phones name neither themselves nor the
 * bundle.
 */
export interface Acknowledgement {
  deviceId: string | null;
  name: string | null;
  success: boolean;
  error: string | null;
  sha256: string | null;
  timestamp: number;
}

export interface Log {
  level: string;
  args: unknown[];
  timestamp: number;
  deviceId: string | null;
}

export interface ConnectedPhone {
  deviceId: string | null;
  name: string | null;
  platform: string | null;
}

/** What CLIs and dashboards are told of phones. */
export interface ReportOptions {
  onAcknowledgement?: (acknowledgement: Acknowledgement) => void;
  onLog?: (log: Log) => void;
  onPhoneConnected?: (phone: ConnectedPhone) => void;
  onPhoneDisconnected?: (phone: ConnectedPhone) => void;
  /** The session's secret: claims it, or shows that it is known. 16 to 256 visible ASCII characters. */
  secret?: string;
}

export interface CliOptions extends ClientOptions, ReportOptions {
  /** All phones, on every change. */
  onPhones?: (devices: Device[]) => void;
  /** Whether phones need a join token from now on; with `secret`. */
  tokens?: boolean;
  /** Whether it sends patches where it may: true. */
  patch?: boolean;
  /** Whether a phone that comes is sent the last bundle once more: true. */
  resend?: boolean;
}

export interface Sent {
  /** `replaced`: a later call took its place before it was its turn. */
  sent: 'patch' | 'whole' | 'replaced';
  /** Bytes of all messages that it took, those of a try that was cut or refused among them. */
  bytes: number;
  sha256?: string | null;
  /** How many phones got it, where that is known: on a channel. */
  phones?: number;
}

export interface Cli extends Client {
  /** Resolves once the relay has all of it. Rejects once the CLI is closed. */
  send(code: string): Promise<Sent>;
}

/** Joins a session as its CLI. Throws TypeError for an option that can't be right. */
export function connectCli(options: CliOptions): Cli;

export interface DashboardOptions extends ClientOptions, ReportOptions {
  /** All phones, on every change. */
  onDevices?: (devices: Device[]) => void;
  /** Another bundle is the session's. `size` is in bytes; null in browsers, and where only a phone has told of it. */
  onBundle?: (bundle: { sha256: string; size: number | null }) => void;
}

/** Joins a session as a dashboard. Throws TypeError for an option that can't be right. */
export function connectDashboard(options: DashboardOptions): Client;

// What a phone makes of the messages about bundles: which code it has, under which label, and what
// it says to the relay. Pure: a state machine that learns of messages from outside.

import { createBundleAssembly } from './bundle_assembly.js';
import { applyPatch } from './patch_applying.js';

const MOST_ERROR_CHARACTERS = 2000;

/** The text of an error, for an acknowledgement. */
export function errorText(error) {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return text.slice(0, MOST_ERROR_CHARACTERS);
}

/**
 * `have` is {code, sha256} of the code that is here from the start, or nothing.
 *
 * `on.code(code, {sha256, from, sourceMap})` is called for each code that is to run; `on.label(sha256, code)`
 * as soon as the label of the code that is here is known, if that is later; `on.say(message)` with
 * what the relay is to be told; `on.unchanged()` where the code that was handed out is still right;
 * `on.download({sha256, size})` where a bundle is to be fetched, and null where none is any more;
 * `on.failed(text)` where a bundle came that can't be used.
 */
export function createPhoneBundles({ have, on }) {
  let isFaulty = false;
  const assembly = createBundleAssembly({ onFault: reportFault });
  let code = have ? have.code : null;
  let label = have ? have.sha256 : null;
  let isHandedOut = false;
  let wanted = null;

  function run(newCode, newLabel, from, more = {}) {
    code = newCode;
    label = newLabel;
    isHandedOut = true;
    on.code(code, { sha256: label, from, ...more });
  }

  function unchanged() {
    want(null);
    if (isHandedOut) on.unchanged();
    else run(code, label, 'have');
  }

  function want(bundle) {
    if (wanted === null && bundle === null) return;
    wanted = bundle;
    on.download(bundle);
  }

  function askForWhole(reason) {
    on.say({ type: 'bundle_wanted', reason, timestamp: Date.now() });
  }

  function heedPatch(message) {
    if (label === null) {
      askForWhole('base');
      return;
    }
    let patched = null;
    try {
      patched = applyPatch(code, message, { label });
    } catch (error) {
      askForWhole(error.reason || 'malformed');
      return;
    }
    if (message.sha256 === label) {
      unchanged();
      return;
    }
    want(null);
    run(patched, message.sha256, 'patch');
    on.label(label, code);
  }

  function heedWhole(message) {
    if (message.type !== 'bundle_chunk') {
      want(null);
      isFaulty = false;
    }
    const bundle = assembly.take(message);
    if (bundle === null) return;
    const { sourceMap } = bundle;
    run(bundle.code, null, 'whole', sourceMap === undefined ? {} : { sourceMap });
  }

  // Of a bundle that is given up, the chunks that follow are no news.
  function reportFault(fault) {
    if (!isFaulty) on.failed(`the bundle could not be put together: ${fault}`);
    isFaulty = true;
  }

  function heedId({ sha256, units }) {
    if (typeof sha256 !== 'string' || code === null || units !== code.length) return;
    label = sha256;
    on.label(label, code);
  }

  function heedAvailable({ sha256, size }) {
    if (wanted !== null && wanted.sha256 === sha256) return;
    if (sha256 === label) unchanged();
    else want({ sha256, size });
  }

  return {
    /** The SHA-256 of the code that is here, or null where that isn't known. */
    label: () => label,
    /** Takes one message; false where it has nothing to do with bundles. */
    heed(message) {
      switch (message.type) {
        case 'bundle_update':
        case 'bundle_start':
        case 'bundle_chunk':
          heedWhole(message);
          return true;
        case 'bundle_patch':
          assembly.take(message);
          heedPatch(message);
          return true;
        case 'bundle_id':
          heedId(message);
          return true;
        case 'bundle_unchanged':
          if (label !== null && message.sha256 === label) unchanged();
          else askForWhole('base');
          return true;
        case 'bundle_available':
          heedAvailable(message);
          return true;
        default:
          return false;
      }
    },
    /** What was wanted is here. */
    downloaded(newCode) {
      const { sha256 } = wanted;
      wanted = null;
      run(newCode, sha256, 'url');
      on.label(sha256, newCode);
    },
    /** What was wanted can't be had. */
    downloadFailed(text) {
      wanted = null;
      on.failed(text);
    },
    /** The connection is lost, and with it the rest of a bundle: chunks of another connection are
     * never joined with those that came. */
    cut() {
      assembly.reset();
    },
  };
}

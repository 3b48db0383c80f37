// Bundles that are to be sent: one is under way, one may wait, and a newer one takes the place of that.
// Pure.

/**
 * `begin(job)` is called for each job when its turn comes, {code, isWhole}, at the latest one after the
 * other. Returns {add(job), current(), done(result), failed(error), stop(error)}: `add` returns a
 * promise of the result, or of {sent: 'replaced', bytes: 0}; `done` and `failed` end the current job.
 */
export function createSendQueue(begin) {
  let current = null;
  let next = null;
  let stopped = null;

  function turn() {
    current = next;
    next = null;
    if (current !== null) begin(current);
  }

  function finish(settle) {
    const job = current;
    current = null;
    settle(job);
    // Whoever hears of it may have begun the next one.
    if (current === null) turn();
  }

  return {
    add(job) {
      if (stopped !== null) return Promise.reject(stopped);
      return new Promise((resolve, reject) => {
        if (next !== null) next.resolve({ sent: 'replaced', bytes: 0 });
        next = { ...job, resolve, reject };
        if (current === null) turn();
      });
    },
    current: () => current,
    done: (result) => finish((job) => job.resolve(result)),
    failed: (error) => finish((job) => job.reject(error)),
    stop(error) {
      stopped = error;
      const jobs = [current, next].filter((job) => job !== null);
      current = next = null;
      jobs.forEach((job) => job.reject(error));
    },
  };
}

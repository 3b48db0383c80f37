// What the cases say what they expect with, in every runtime, and a time that they make themselves.

export function equal(found, expected, what = '') {
  const [one, other] = [JSON.stringify(found), JSON.stringify(expected)];
  if (one !== other) throw new Error(`${what} is ${one}, not ${other}`);
}

export function isTrue(value, what) {
  if (value !== true) throw new Error(`not true: ${what}`);
}

/** The reason with which something is refused. */
export function reasonOf(act) {
  try {
    act();
  } catch (error) {
    if (error.reason === undefined) throw error;
    return error.reason;
  }
  return null;
}

/** A clock with timers that go off as it is advanced. */
export function createTime() {
  let time = 1764412800000;
  let timers = [];
  let count = 0;
  return {
    now: () => time,
    setTimeout(action, pause) {
      count += 1;
      timers.push({ id: count, due: time + pause, action });
      return count;
    },
    clearTimeout(id) {
      timers = timers.filter((timer) => timer.id !== id);
    },
    advance(ms) {
      const end = time + ms;
      for (;;) {
        const due = timers.filter((timer) => timer.due <= end).sort((a, b) => a.due - b.due)[0];
        if (due === undefined) break;
        timers = timers.filter((timer) => timer !== due);
        time = Math.max(time, due.due);
        due.action();
      }
      time = end;
    },
    set(ms) {
      time = ms;
    },
    waiting: () => timers.length,
  };
}

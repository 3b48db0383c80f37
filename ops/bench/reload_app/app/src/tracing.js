// Nothing imports this until a save of the bench does.
globalThis.__startedAt = Date.now();

// A program with types that connects clients: it is checked, not run. Each expected error is one, or the
// check fails.

import { connectCli, connectDashboard, connectPhone } from 'apptuner-relay-client';
import type { Acknowledgement, Ending, Phone, Sent } from 'apptuner-relay-client';

declare class SomeSocket {
  constructor(url: string, protocols: string[], options: { headers: Record<string, string> });
}
const place = { url: 'wss://relay.example.com', session: 'ABC234' };

const phone: Phone = connectPhone({
  ...place,
  WebSocket: SomeSocket,
  platform: 'ios',
  have: { code: '', sha256: '' },
  onBundle: (code, { sha256, from }) => Promise.resolve([code.length, sha256, from === 'patch']),
  onState: (state, { ending }) => {
    const last: Ending | null | undefined = ending;
    return state === 'closed' ? last : null;
  },
});
phone.log('warn', 'slow', { ms: 48 });
phone.acknowledge(false, new Error('it does not run'));
// @ts-expect-error a phone has to take bundles
connectPhone(place);
// @ts-expect-error no such platform
connectPhone({ ...place, platform: 'beos', onBundle: () => undefined });

const cli = connectCli({
  ...place,
  secret: 'sixteen characters',
  onAcknowledgement: (one: Acknowledgement) => one.deviceId,
});
export const sent: Promise<Sent> = cli.send('code');
// @ts-expect-error bundles are texts
cli.send(new Uint8Array(1));

export const page = connectDashboard({ ...place, onBundle: ({ sha256, size }) => [sha256, size] });
// @ts-expect-error a dashboard sends nothing
page.send('code');

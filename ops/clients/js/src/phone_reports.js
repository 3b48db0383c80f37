// What the desktop side hears of phones, handed to those who asked for it.

const nothing = () => undefined;

/**
 * Returns what takes one message, and is false where that is none of a phone's. `on` may have
 * `devices(list)`, `acknowledgement({deviceId, name, success, error, sha256, timestamp})`,
 * `log({level, args, timestamp, deviceId})`, `phoneConnected(phone)`, `phoneDisconnected(phone)`. What
 * a released phone doesn't say is null.
 */
export function createPhoneReports(on) {
  const call = (name) => on[name] || nothing;

  return function heed(message) {
    switch (message.type) {
      case 'device_list':
        call('devices')(Array.isArray(message.devices) ? message.devices : []);
        return true;
      case 'mobile_connected':
        call('phoneConnected')(phoneOf(message));
        return true;
      case 'mobile_disconnected':
        call('phoneDisconnected')(phoneOf(message));
        return true;
      case 'bundle_ack':
        call('acknowledgement')({
          deviceId: textOf(message.deviceId),
          name: textOf(message.deviceName),
          success: message.success === true,
          error: textOf(message.error),
          sha256: textOf(message.sha256),
          timestamp: message.timestamp,
        });
        return true;
      case 'console_log':
        call('log')(logOf(message));
        return true;
      default:
        return false;
    }
  };
}

function phoneOf({ deviceId, deviceName, platform }) {
  return { deviceId: textOf(deviceId), name: textOf(deviceName), platform: textOf(platform) };
}

function logOf({ payload, deviceId }) {
  const { level, args, timestamp } = payload && typeof payload === 'object' ? payload : {};
  return {
    level: textOf(level) || 'log',
    args: Array.isArray(args) ? args : [],
    timestamp,
    deviceId: textOf(deviceId),
  };
}

function textOf(value) {
  return typeof value === 'string' ? value : null;
}

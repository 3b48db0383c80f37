// How people know clients: by their roles, their devices and their systems. Pure.

const ROLES = { cli: 'CLI', dashboard: 'dashboard', desktop: 'desktop', mobile: 'phone', upload: 'upload' };
const SYSTEMS = { ios: 'iOS', android: 'Android' };

/** The roles, in the order in which they are told. */
export const ROLE_NAMES = Object.keys(ROLES);

/** "CLI", "phone". */
export const roleOf = (role) => ROLES[role] ?? role;

/** "iOS", of a `platform`; undefined for one that has no other name. */
export const systemOf = (platform) => SYSTEMS[platform];

/** What a phone is called: by its name, or else its id. */
export const phoneName = ({ name, deviceId }) => name || deviceId || 'a phone';

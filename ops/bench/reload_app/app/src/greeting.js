// Nothing imports this until a save of the bench does.
export const greeting = (name) => (name ? `Welcome back, ${name} 🛒` : 'Welcome 🛍');

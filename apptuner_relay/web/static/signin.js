// The sign-in form: the token goes in a header, and a cookie that scripts can't read comes back.

const form = document.getElementById('sign-in');
const token = document.getElementById('token');
const wrong = document.getElementById('wrong');

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = form.querySelector('button');
  button.disabled = true;
  wrong.textContent = '';
  wrong.textContent = await signIn(token.value.trim());
  button.disabled = false;
  if (wrong.textContent) {
    token.setAttribute('aria-invalid', 'true');
    token.select();
    token.focus();
  }
});

/** What went wrong, or nothing; then the page is on its way. */
async function signIn(value) {
  // Others can't be in a header, nor in a token.
  if (!/^[!-~]+$/.test(value)) return 'That is not the token.';
  let answer;
  try {
    answer = await fetch('api/login', {
      method: 'POST', headers: { Authorization: `Bearer ${value}` },
    });
  } catch {
    return 'The relay does not answer.';
  }
  if (answer.status === 401) return 'That is not the token.';
  if (!answer.ok) return `The relay answered with ${answer.status}.`;
  location.reload();
  return '';
}

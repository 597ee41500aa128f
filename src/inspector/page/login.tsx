import { useState } from "preact/hooks";
import { login } from "./page-source.ts";

export function Login({ onAdmitted }: { readonly onAdmitted: () => void }) {
  const [wrong, setWrong] = useState(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const token = new FormData(event.currentTarget as HTMLFormElement).get("token");
    if (await login(String(token))) onAdmitted();
    else setWrong(true);
  };
  return (
    <form class="card login" onSubmit={(event) => void submit(event)}>
      <h2>Admin token</h2>
      <p>The inspector shows private receipts. It is for the operator of this server.</p>
      <label>
        Token <input name="token" type="password" autocomplete="off" required />
      </label>
      <button type="submit">Open</button>
      {wrong && <p role="alert">That is not the admin token.</p>}
    </form>
  );
}

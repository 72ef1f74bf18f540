// Signing with the reader's own wallet (EIP-1193). Without it, or without JavaScript, a signature can be pasted.
"use strict";

(() => {
  const provider = window.ethereum;
  const problem = document.getElementById("wallet-problem");

  function say(text) {
    problem.textContent = text;
    problem.hidden = !text;
  }

  function words(error) {
    if (error && error.code === 4001) return "You declined in your wallet. Nothing was signed.";
    return "The wallet answered: " + ((error && error.message) || error);
  }

  async function account(signer) {
    const accounts = await provider.request({ method: "eth_requestAccounts" });
    const found = accounts.find((address) => address.toLowerCase() === signer.toLowerCase());
    if (!found) throw new Error("please choose the account " + signer + " in your wallet");
    return found;
  }

  async function onChain(chainId) {
    const wanted = "0x" + Number(chainId).toString(16);
    if ((await provider.request({ method: "eth_chainId" })) === wanted) return;
    await provider.request({ method: "wallet_switchEthereumChain", params: [{ chainId: wanted }] });
  }

  function offer(button, form, sign) {
    if (!button || !form) return;
    if (!provider) {
      say("No wallet was found in this browser. Install one, or sign elsewhere and paste the signature.");
      document.getElementById("paste")?.setAttribute("open", "");
      return;
    }
    button.hidden = false;
    button.addEventListener("click", async () => {
      say("");
      button.disabled = true;
      try {
        form.elements.signature.value = await sign(await account(form.dataset.signer));
        form.submit();
      } catch (error) {
        say(words(error));
        button.disabled = false;
      }
    });
  }

  const typed = document.getElementById("typed-data");
  offer(document.getElementById("wallet-sign"), document.getElementById("sign-form"), async (from) => {
    const data = JSON.parse(typed.textContent);
    await onChain(data.domain.chainId);
    return provider.request({ method: "eth_signTypedData_v4", params: [from, JSON.stringify(data)] });
  });

  const challenge = document.getElementById("challenge-text");
  offer(document.getElementById("wallet-link"), document.getElementById("link-form"), (from) =>
    provider.request({ method: "personal_sign", params: [JSON.parse(challenge.textContent), from] }),
  );
})();

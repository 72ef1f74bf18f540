// Adds the milestones up while they are typed. In whole units of 10^-18, so that no float is asked about money.
"use strict";

(() => {
  const line = document.querySelector("[data-sum]");
  if (!line) return;
  const PLACES = 18n;

  function units(text) {
    const match = /^\s*(\d+)(?:\.(\d{0,18}))?\s*$/.exec(text);
    return match ? BigInt(match[1]) * 10n ** PLACES + BigInt((match[2] || "").padEnd(Number(PLACES), "0")) : 0n;
  }

  function show() {
    const fields = document.querySelectorAll(`input[name^="${line.dataset.sum}-"][name$="-amount"]`);
    const sum = [...fields].reduce((total, field) => total + units(field.value), 0n);
    const digits = sum.toString().padStart(Number(PLACES) + 1, "0");
    const whole = digits.slice(0, -Number(PLACES)).replace(/\B(?=(\d{3})+$)/g, ",");
    const rest = digits.slice(-Number(PLACES)).replace(/0+$/, "").padEnd(2, "0");
    line.querySelector("output").textContent = `${whole}.${rest}`;
    line.hidden = false;
  }

  document.addEventListener("input", show);
  show();
})();

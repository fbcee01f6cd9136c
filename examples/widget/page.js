// The page's own script. Everything of ours is in the file of the widget, which may be missing: then the page goes its own way.
const say = (text) => {
  document.querySelector("#outcome").textContent = text;
};

// Here: `location.assign("/account/cancel")`, or whatever cancels without the flow.
const cancelPlainly = (reason) => say(`The page's own way to cancel begins here (${reason}).`);

const token = async () => (await (await fetch("/retention/token", { method: "POST" })).json()).token;

document.querySelector("#cancel").addEventListener("click", () => {
  if (!window.Retention) return cancelPlainly("the widget did not load");
  window.Retention.open({
    token,
    locale: new URLSearchParams(location.search).get("locale") ?? undefined,
    handleFallback: cancelPlainly,
    onSaved: () => say("The customer stays."),
    onCanceled: () => say("The subscription ends with its period."),
    onManual: () => say("People carry the cancellation out."),
    onAbandoned: () => say("Nothing has changed."),
  });
});

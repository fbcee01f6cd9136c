// How the dialog looks. Sides are logical, so that it turns round by itself; colours come from the flow's theme.

export const TOKENS = ["accent", "accent_text", "background", "surface", "text", "muted", "border", "radius", "font"];

export const BASE = `
:host{all:initial;
--accent:#1f4fa3;--accent_text:#fff;--background:#f3f4f6;--surface:#fff;--text:#1b1f24;--muted:#57606a;--border:#d0d7de;--radius:8px;--font:system-ui,sans-serif}
*{box-sizing:border-box}
dialog{font:1rem/1.5 var(--font);color:var(--text);background:var(--background);border:1px solid var(--border);border-radius:calc(var(--radius) + 4px);
padding:0;width:min(34rem,calc(100vw - 2rem));max-width:none;max-height:min(48rem,calc(100dvh - 2rem));margin:auto;overflow:auto;overscroll-behavior:contain;text-align:start}
dialog::backdrop{background:rgb(0 0 0/.5)}
header{display:flex;gap:1rem;align-items:start;padding:1.25rem 1.25rem 0}
h2{font-size:1.375rem;line-height:1.25;margin:0;flex:1;padding-block:.375rem}
h3{font-size:1.1875rem;line-height:1.3;margin:0 0 .75rem}h4{font-size:1.0625rem;margin:0 0 .75rem}
.x{width:2.75rem;min-height:2.75rem;margin:0;padding:0;border:0;background:none;font-size:1.5rem;line-height:1;flex:none}
.x::before{content:"×"/""}
form,.foot{padding:1rem 1.25rem 0}.foot{padding-block:.25rem 1.25rem}
section{background:var(--surface);border:1px solid var(--border);border-radius:var(--radius);padding:1rem;margin:0 0 1rem}
section>:last-child{margin-block-end:0}
p,ul,ol,blockquote{margin:0 0 .75rem}p{white-space:pre-line}ul,ol{padding-inline-start:1.5rem}
blockquote{padding-inline-start:.75rem;border-inline-start:3px solid var(--border)}
fieldset{border:0;padding:0;margin:0 0 1rem;scroll-margin:1rem;min-inline-size:0}legend{font-weight:600;padding:0;margin-block-end:.5rem}
label.choice{display:flex;gap:.75rem;align-items:center;min-height:2.75rem;padding:.375rem .75rem;border:1px solid var(--border);border-radius:var(--radius);margin-block-end:.5rem;cursor:pointer}
label.choice:has(:checked){border-color:var(--accent);box-shadow:inset 0 0 0 1px var(--accent)}
input[type=radio],input[type=checkbox]{width:1.25rem;height:1.25rem;margin:0;flex:none;accent-color:var(--accent)}
textarea,input[type=date],input[type=number]{display:block;width:100%;font:inherit;color:inherit;padding:.625rem;border:1px solid var(--muted);border-radius:var(--radius);background:var(--surface)}
button,a.button{display:block;width:100%;min-height:2.75rem;font:inherit;font-weight:600;padding:.625rem 1rem;margin:.5rem 0 0;border-radius:var(--radius);border:1px solid var(--border);background:var(--surface);color:var(--text);cursor:pointer;text-align:center;text-decoration:none}
button.main,a.main{background:var(--accent);border-color:var(--accent);color:var(--accent_text)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}h2:focus{outline:0}
[role=alert]:not(:empty){border:1px solid var(--border);border-inline-start:4px solid var(--accent);border-radius:var(--radius);padding:.75rem 1rem;background:var(--surface);margin:1rem 1.25rem 0}
.error{color:#a3151a;font-weight:600;margin:.25rem 0 .5rem}[aria-invalid=true]{border-color:#a3151a!important}
.help,.terms,cite,.must{color:var(--muted);font-size:.9375rem;font-style:normal;font-weight:400}
.stat strong{font-size:1.75rem;display:block}img,video{max-width:100%;height:auto;border-radius:var(--radius)}
hr{border:0;border-top:1px solid var(--border);margin:1rem 0}
.status{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.empty .status{position:static;width:auto;height:auto;clip-path:none;padding:2rem 1.25rem 3rem;text-align:center;margin:0}
.busy form{opacity:.55}
@media (max-width:30rem){dialog{width:100vw;max-height:calc(100dvh - 1.5rem);margin-block:auto 0;border-end-start-radius:0;border-end-end-radius:0;border-inline:0;border-block-end:0}}
@media (prefers-reduced-motion:no-preference){dialog[open]{animation:rise .2s ease-out}form{transition:opacity .15s}.busy form{transition-delay:.2s}}
@keyframes rise{from{opacity:0;transform:translateY(1rem)}}
@media (forced-colors:active){button,a.button,label.choice{border:1px solid}}
`;

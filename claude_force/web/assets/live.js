/* Keeps the page up to date. The server says that something is new; the page asks for itself again, and takes over what
   differs, node by node: focus, scroll, open details and what is typed stay. A hidden page does not listen, because a
   browser keeps only six connections to one server. Tests wait for data-live on the body. */
"use strict";
(() => {
  const state = document.getElementById("state");
  const say = (name, text) => {
    if (state.dataset.state === name) return;
    state.dataset.state = name;
    state.textContent = text;
  };

  /* On a phone the navigation is wider than the screen. */
  document.querySelector(".views [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

  /* What the reader or a script set is left alone. */
  const kept = new Set(["open", "data-drawn", "data-links", "data-state", "data-live", "data-ready", "style"]);
  const copyAttributes = (from, to) => {
    for (const { name } of [...from.attributes]) if (!kept.has(name) && !to.hasAttribute(name)) from.removeAttribute(name);
    for (const { name, value } of to.attributes)
      if (!kept.has(name) && from.getAttribute(name) !== value) from.setAttribute(name, value);
  };

  /* What a child is, whatever its place: its id, or the first cell of a row. */
  const keyOf = (node) =>
    node.nodeType !== 1 ? "" : node.id || (node.tagName === "TR" ? node.querySelector("a")?.getAttribute("href") ?? "" : "");

  const morphChildren = (from, to) => {
    const byKey = new Map([...from.childNodes].filter(keyOf).map((node) => [keyOf(node), node]));
    let at = from.firstChild;
    for (const wanted of [...to.childNodes]) {
      const key = keyOf(wanted);
      let found = key ? byKey.get(key) : at;
      while (!key && found && keyOf(found)) found = found.nextSibling;
      if (found && found.nodeName === wanted.nodeName) {
        if (found !== at) from.insertBefore(found, at);
        morph(found, wanted);
      } else {
        found = from.insertBefore(document.importNode(wanted, true), at);
      }
      byKey.delete(key);
      at = found.nextSibling;
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  };

  const morph = (from, to) => {
    if (from.isEqualNode(to) || from === state) return;
    if (from.nodeType !== 1) {
      if (from.data !== to.data) from.data = to.data;
      return;
    }
    if (from.tagName === "CANVAS") {
      from.setAttribute("aria-label", to.getAttribute("aria-label"));
      return;
    }
    copyAttributes(from, to);
    morphChildren(from, to);
  };

  const parts = ["nav.views", "header", ".filters", "main", "footer"];
  const has = (root, name) => root.querySelector(name) !== null;

  const take = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    /* Another version of the program, or charts where there were none: other scripts. */
    const isOther = fresh.querySelector("style").textContent !== document.querySelector("style").textContent;
    if (isOther || has(fresh, "#data") !== has(document, "#data") || has(fresh, ".filters") !== has(document, ".filters")) {
      location.reload();
      return;
    }
    const focused = document.activeElement;
    const [left, top] = [scrollX, scrollY];
    const drawn = document.getElementById("data")?.textContent;
    for (const name of parts) {
      const from = document.querySelector(name);
      if (from) morph(from, fresh.querySelector(name));
    }
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    if (scrollY !== top) scrollTo(left, top);
    if (document.getElementById("data")?.textContent !== drawn) document.dispatchEvent(new Event("new-data"));
  };

  let tag = null;
  let shown = document.body.dataset.generation;
  let wanted = shown;
  let isAsking = false;
  const refresh = async () => {
    if (isAsking) return;
    isAsking = true;
    try {
      while (shown !== wanted) {
        const asked = wanted;
        const headers = tag ? { Accept: "text/html", "If-None-Match": tag } : { Accept: "text/html" };
        const answer = await fetch(location.href, { headers, cache: "no-store" });
        if (answer.status !== 304) {
          const text = await answer.text();
          tag = answer.headers.get("ETag");
          take(text);
        }
        shown = asked;
      }
    } catch {
      /* The server has gone; the connection of the events says so. */
    } finally {
      isAsking = false;
      document.body.dataset.live = shown;
    }
  };

  let events = null;
  const listen = () => {
    events = new EventSource("/events");
    events.addEventListener("generation", ({ data }) => {
      say("live", "Live");
      wanted = data;
      refresh();
    });
    events.onerror = () => say("lost", "Not connected: the figures may be old");
  };
  const stop = () => {
    events?.close();
    events = null;
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) stop();
    else if (!events) listen();
  });
  addEventListener("pagehide", stop);
  addEventListener("pageshow", () => events || document.hidden || listen());
  if (!document.hidden) listen();

  /* An address to share has no empty words. */
  document.addEventListener("submit", ({ target }) => {
    if (target.method === "get") for (const field of target.elements) field.disabled = field.name !== "" && field.value === "";
  });
})();

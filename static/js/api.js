// "Try it" on the API's documentation: sends the call under the visitor's own session.
// Without this file the pages show curl and Python alone.
(() => {
  "use strict";

  const show = (place, text) => {
    place.textContent = text;
    place.hidden = false;
  };

  const pretty = (text) => {
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return text;
    }
  };

  const send = async (form) => {
    const query = new URLSearchParams();
    let path = form.dataset.path;
    for (const field of form.querySelectorAll("[data-in=path]")) {
      path = path.replace(`{${field.name}}`, encodeURIComponent(field.value));
    }
    for (const field of form.querySelectorAll("[data-in=query]")) {
      if (field.value) query.append(field.name, field.value);
    }
    const body = form.querySelector("[data-in=body]");
    const answer = await fetch(query.size ? `${path}?${query}` : path, {
      method: form.dataset.method,
      credentials: "same-origin",
      headers: {
        "x-keyfactor-requested-with": "XMLHttpRequest",
        "X-CSRFToken": form.querySelector("[name=csrfmiddlewaretoken]").value,
        ...(body ? { "Content-Type": "application/json" } : {}),
      },
      body: body ? body.value : undefined,
    });
    return `${answer.status} ${answer.statusText}\n\n${pretty(await answer.text())}`.trim();
  };

  for (const form of document.querySelectorAll("form.try")) {
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const place = form.querySelector("pre");
      try {
        show(place, await send(form));
      } catch {
        show(place, "The portal did not answer.");
      }
    });
  }
})();

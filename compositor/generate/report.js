"use strict";
const form = document.getElementById("filters");
const pictures = [...document.querySelectorAll("#pictures > li")];
const drawings = document.querySelectorAll(".frame svg");
const dialog = document.querySelector("dialog");

// An object passes if every filter lets it; one without a value passes only while its filter is off.
function passes(object, wanted) {
  const below = (value, limit) => limit >= 100 || Number(value) <= limit / 100;
  return (
    (wanted.label === "" || object.dataset.label === wanted.label) &&
    below(object.dataset.visibility, wanted.visibility) &&
    below(object.dataset.confidence, wanted.confidence)
  );
}

function update() {
  const value = (name) => (form.elements[name] ? Number(form.elements[name].value) : 100);
  const wanted = {
    label: form.elements.label.value,
    visibility: value("visibility"),
    confidence: value("confidence"),
  };
  const all = wanted.label === "" && wanted.visibility >= 100 && wanted.confidence >= 100;
  let shown = 0;
  for (const picture of pictures) {
    let any = false;
    for (const object of picture.querySelectorAll("[data-label]")) {
      const passed = passes(object, wanted);
      object.classList.toggle("out", !passed);
      any = any || passed;
    }
    picture.hidden = !(all || any);
    shown += picture.hidden ? 0 : 1;
  }
  for (const svg of drawings) {
    for (const kind of ["masks", "boxes", "names"]) {
      svg.classList.toggle(`no-${kind}`, !form.elements[kind].checked);
    }
  }
  for (const name of ["visibility", "confidence"]) {
    const told = document.getElementById(`${name}-told`);
    if (told) told.value = wanted[name] >= 100 ? "any" : `at most ${wanted[name]} %`;
  }
  document.getElementById("shown").value = `${shown} of ${pictures.length} pictures`;
}

form.addEventListener("input", update);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(update));
for (const picture of pictures) {
  const frame = picture.querySelector(".frame");
  frame.addEventListener("click", () => {
    const large = document.createElement("div");
    large.className = "frame";
    large.append(...[...frame.children].map((child) => child.cloneNode(true)));
    dialog.querySelector("div").replaceChildren(large);
    dialog.querySelector("p").textContent = frame.getAttribute("aria-label");
    dialog.showModal();
  });
}
update();

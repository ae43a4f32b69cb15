// The form is a view of one request of the contract: fields change it, and each change is sent to be checked.
// All HTML comes from the server, which escapes it; nothing here makes HTML of text.

const form = document.querySelector("#order");
const section = document.querySelector("#answer");
const result = document.querySelector("#result");
const said = document.querySelector("#said");
const bar = document.querySelector("#bar");
const json = document.querySelector("#json");
const example = json.value;
let request = JSON.parse(example);
let running = null;
let waiting = 0;

// --- the request ---------------------------------------------------------------------------------------------------

function read(path) {
  return path.split(".").reduce((held, name) => held?.[name], request);
}

// Sets a value, or takes it out with every object that is left empty.
function write(path, value) {
  const names = path.split(".");
  const last = names.pop();
  const held = [request];
  for (const name of names) {
    if (held.at(-1)[name] === undefined) {
      if (value === undefined) return;
      held.at(-1)[name] = {};
    }
    held.push(held.at(-1)[name]);
  }
  if (value === undefined) delete held.at(-1)[last];
  else held.at(-1)[last] = value;
  for (let i = names.length - 1; i >= 0 && value === undefined; i--) {
    if (Object.keys(held[i + 1]).length === 0) delete held[i][names[i]];
  }
}

const dateText = (day) =>
  day ? `${String(day.year).padStart(4, "0")}-${String(day.month).padStart(2, "0")}-${String(day.day).padStart(2, "0")}` : "";

function today() {
  const now = new Date();
  return { year: now.getFullYear(), month: now.getMonth() + 1, day: now.getDate() };
}

// --- lists: one item a line ------------------------------------------------------------------------------------------

const medicationOf = { "patient.medications": "medication", "patient.allergies": "substance" };

function words(path, item) {
  const held = medicationOf[path] ? item[medicationOf[path]] ?? {} : item;
  const coding = held.codings?.[0];
  return held.text || coding?.display || coding?.code || item.optionId || "";
}

const code = /^[A-Z]\d[0-9A-Z](\.[0-9A-Z]{1,4})?$/;

function itemOf(path, line) {
  switch (path) {
    case "patient.medications":
      return { medication: { text: line }, status: "RECORD_STATUS_ACTIVE", kind: "RECORD_KIND_STATEMENT", knownOn: read("prescription.orderedOn") ?? today() };
    case "patient.allergies":
      return { substance: { text: line }, status: "CONDITION_STATUS_ACTIVE" };
    case "patient.careOptionsTried":
      return { text: line };
    default:
      return code.test(line)
        ? { codings: [{ system: "http://hl7.org/fhir/sid/icd-10-cm", code: line }], status: "CONDITION_STATUS_ACTIVE" }
        : { text: line, status: "CONDITION_STATUS_ACTIVE" };
  }
}

// The indications are a plain list; the lists of the patient say how complete they are.
const isPlain = (path) => path === "prescription.indications";
const items = (path) => (isPlain(path) ? read(path) : read(`${path}.items`)) ?? [];

function writeList(path, text) {
  const before = items(path);
  const found = text.split("\n").map((line) => line.trim()).filter(Boolean)
    .map((line) => before.find((item) => words(path, item) === line) ?? itemOf(path, line));
  write(isPlain(path) ? path : `${path}.items`, found.length ? found : undefined);
  if (isPlain(path)) return;
  const complete = form.querySelector(`[data-complete="${path}"]`);
  if (found.length && !complete.value) complete.value = "COMPLETENESS_PARTIAL";
  if (!found.length && complete.value === "COMPLETENESS_PARTIAL") complete.value = "";
  write(`${path}.completeness`, complete.value || undefined);
}

// --- the form ----------------------------------------------------------------------------------------------------------

function show() {
  for (const field of form.querySelectorAll("[data-path]")) {
    const value = read(field.dataset.path);
    if (field.tagName === "SELECT" && value !== undefined && ![...field.options].some((each) => each.value === value)) {
      field.add(new Option(String(value), String(value)));
    }
    if (value !== undefined || !("keep" in field.dataset)) field.value = value ?? "";
    field.removeAttribute("aria-invalid");
  }
  for (const field of form.querySelectorAll("[data-date]")) field.value = dateText(read(field.dataset.date));
  for (const field of form.querySelectorAll("[data-list]")) {
    field.value = items(field.dataset.list).map((item) => words(field.dataset.list, item)).join("\n");
  }
  for (const field of form.querySelectorAll("[data-complete]")) {
    field.value = read(`${field.dataset.complete}.completeness`) ?? "";
  }
  const medication = form.querySelector("[data-medication]");
  const held = read(medication.dataset.medication) ?? {};
  medication.value = held.text || held.codings?.[0]?.display || held.codings?.[0]?.code || "";
  json.value = JSON.stringify(request, null, 2);
}

function take(field) {
  const { path, list, complete, date } = field.dataset;
  const value = field.value.trim();
  if (field.dataset.medication) {
    write(field.dataset.medication, value ? { text: value } : undefined);
  } else if (list) {
    writeList(list, field.value);
  } else if (complete) {
    write(`${complete}.completeness`, value || undefined);
  } else if (date) {
    const [year, month, day] = value.split("-").map(Number);
    write(date, value ? { year, month, day } : undefined);
  } else if (path) {
    const number = Number(value.replace(",", "."));
    const wrong = "number" in field.dataset && value !== "" && !Number.isFinite(number);
    field.toggleAttribute("aria-invalid", wrong);
    if (wrong) field.setAttribute("aria-invalid", "true");
    // What is no number goes as it stands, so that the answer names it.
    write(path, value === "" ? undefined : "number" in field.dataset && !wrong ? number : value);
    if (/dose|frequency|days/.test(path)) forget();
    pairs();
  } else return false;
  json.value = JSON.stringify(request, null, 2);
  return true;
}

// What the form has no field for, and what may no longer be true once dose, frequency or days are others.
function forget() {
  write("prescription.doseRange", undefined);
  write("prescription.quantity", undefined);
  write("prescription.dosageText", undefined);
}

// A unit without its number, or a period without times, would be half a fact.
function pairs() {
  const unit = form.querySelector("#dose-unit").value;
  if (read("prescription.doseQuantity.value") === undefined) write("prescription.doseQuantity", undefined);
  else if (unit) write("prescription.doseQuantity.unit", unit);
  if (read("prescription.frequency.times") === undefined) {
    if (!read("prescription.frequency.timesHigh")) write("prescription.frequency", undefined);
    return;
  }
  const period = form.querySelector("#period");
  if (!period.value) period.value = "1";
  write("prescription.frequency.period", Number(period.value) || period.value);
  write("prescription.frequency.periodUnit", form.querySelector("#period-unit").value || "d");
}

// --- asking --------------------------------------------------------------------------------------------------------------

function ask(soon = 250) {
  clearTimeout(waiting);
  waiting = setTimeout(send, soon);
}

async function send() {
  running?.abort();
  const own = new AbortController();
  running = own;
  section.classList.add("stale");
  try {
    const response = await fetch(form.dataset.check, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "text/html" },
      body: JSON.stringify(request),
      signal: own.signal,
    });
    const text = await response.text();
    if (own.signal.aborted) return;
    if (response.ok) put(text);
    else refuse(response.status, text);
  } catch (error) {
    if (own.signal.aborted) return;
    fail("The service could not be reached; nothing below was checked. Please review by hand.", []);
  }
  section.classList.remove("stale");
}

function put(html) {
  const open = new Set([...result.querySelectorAll("details[open]")].map((each) => each.id));
  const read = new DOMParser().parseFromString(html, "text/html");
  result.replaceChildren(...read.body.childNodes);
  for (const each of result.querySelectorAll("details")) each.open = open.has(each.id);
  tell(`${result.querySelector(".overall h2").textContent}: ${result.querySelector(".overall p").textContent}`);
}

// Says it to those who listen, and where the answer is out of sight.
function tell(words) {
  said.textContent = words;
  bar.textContent = words;
}

function refuse(status, text) {
  let issues = [];
  try {
    issues = JSON.parse(text).issue.map((each) => each.diagnostics);
  } catch {
    issues = [`status ${status}`];
  }
  fail("Not checked: the request cannot be used as it stands.", issues);
}

function fail(title, issues) {
  const box = document.createElement("div");
  box.className = "notice";
  const list = document.createElement("ul");
  for (const each of issues) list.appendChild(document.createElement("li")).textContent = each;
  box.append(Object.assign(document.createElement("p"), { textContent: title }), list);
  result.replaceChildren(box);
  tell(title);
}

function use(text, from) {
  let read;
  try {
    read = JSON.parse(text);
  } catch (error) {
    fail(`${from} is not JSON.`, [error.message]);
    return;
  }
  if (typeof read !== "object" || read === null || Array.isArray(read)) {
    fail(`${from} must be one request: a JSON object.`, []);
    return;
  }
  request = read;
  show();
  ask(0);
}

// --- what people do ------------------------------------------------------------------------------------------------------

form.addEventListener("input", (event) => take(event.target) && ask());
form.addEventListener("submit", (event) => event.preventDefault());
document.querySelector("#example").addEventListener("click", () => use(example, "The example"));
document.querySelector("#clear").addEventListener("click", () => {
  request = { prescription: { kind: "RECORD_KIND_ORDER", orderedOn: today() } };
  show();
  result.replaceChildren();
  tell("Enter a medication.");
  form.querySelector("#medication").focus();
});
document.querySelector("#file").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (file) use(await file.text(), file.name);
  event.target.value = "";
});
document.querySelector("#use-json").addEventListener("click", () => use(json.value, "What stands there"));
result.addEventListener("click", (event) => {
  const button = event.target.closest("button.change");
  if (!button) return;
  const { field, value, unit } = button.dataset;
  if (field === "prescription.dose_quantity") {
    write("prescription.doseQuantity", { value: Number(value), unit });
    forget();
  } else if (field === "prescription.days_supply") {
    write("prescription.daysSupply", Number(value));
    write("prescription.endDate", undefined);
    forget();
  } else if (field === "prescription.refills") write("prescription.refills", Number(value));
  else return;
  show();
  ask(0);
  section.focus();
});

show();
tell(`${result.querySelector(".overall h2").textContent}: ${result.querySelector(".overall p").textContent}`);

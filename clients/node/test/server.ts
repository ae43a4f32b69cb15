/** The real server, in a process of its own on a free port; one for all tests. */

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { fromJsonString } from "@bufbuild/protobuf";

import { CheckPrescriptionRequestSchema, type CheckPrescriptionRequest } from "../src/index.js";

export const ROOT = new URL("../../../../", import.meta.url);
export const PYTHON = process.env["MEDSAFETY_PYTHON"] ?? fileURLToPath(new URL(".venv/bin/python", ROOT));
/** Few enough that a test can be one too many. */
export const MAX_WAITING = 4;

/** Where the server listens; one that is running already may be named. */
export const target = process.env["MEDSAFETY_TARGET"] ?? (await started());

async function started(): Promise<string> {
  const decisions = mkdtempSync(join(tmpdir(), "medsafety-"));
  const flags = ["--listen", "127.0.0.1:0", "--threads", "1", "--max-waiting-batches", String(MAX_WAITING)];
  flags.push("--decisions-dir", decisions);
  const server = spawn(PYTHON, ["-m", "safety_service", "serve", ...flags], {
    cwd: fileURLToPath(ROOT),
    stdio: ["ignore", "pipe", "inherit"],
  });
  process.on("exit", () => {
    server.kill("SIGKILL");
    rmSync(decisions, { recursive: true, force: true });
  });
  // Read to its end: a server that cannot write its log would stop.
  const lines = createInterface({ input: server.stdout });
  const address = await new Promise<string>((resolve, reject) => {
    lines.on("line", (line) => {
      const said = JSON.parse(line) as { event: string; address?: string };
      if (said.event === "serving") resolve(said.address ?? "");
    });
    lines.on("close", () => reject(new Error("the server did not start")));
  });
  server.unref();
  (server.stdout as Socket).unref();
  return address;
}

/** The article's case, as a message to change at will. */
export function articleCase(): CheckPrescriptionRequest {
  const text = readFileSync(new URL("rules_data/examples/article-case.json", ROOT), "utf8");
  return fromJsonString(CheckPrescriptionRequestSchema, text);
}

/** How the client reaches the server: message size, retries, deadlines. */

import { readFileSync } from "node:fs";
import { isIPv4 } from "node:net";

import * as grpc from "@grpc/grpc-js";

export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

export const CHECK_MS = 2_000;
export const BATCH_MS = 30_000;
export const STREAM_MS = 600_000;

/** The retry policy of the clients of every language, as a gRPC service config (JSON); the build copies it here. */
export const SERVICE_CONFIG: string = readFileSync(new URL("../retry-policy.json", import.meta.url), "utf8");

export const CHANNEL_OPTIONS: grpc.ChannelOptions = {
  "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
  "grpc.enable_retries": 1,
  "grpc.service_config": SERVICE_CONFIG,
};

/** A bearer token, or what gives one; asked again for every call, so that it may change. */
export type Token = string | (() => string | Promise<string>);

/**
 * Holds a token back from a network without TLS.
 *
 * @throws TypeError if there is a token, no TLS, and the server is on another machine.
 */
export function checkSecrecy(target: string, tls: grpc.ChannelCredentials | undefined, token: Token | undefined): void {
  if (token === undefined || tls !== undefined || isLocal(target)) return;
  throw new TypeError("a token goes to another machine by TLS only: give credentials, such as credentials.createSsl()");
}

/** What goes with a call. */
export async function metadataOf(token: Token | undefined): Promise<grpc.Metadata> {
  const metadata = new grpc.Metadata();
  if (token !== undefined) {
    metadata.set("authorization", `Bearer ${typeof token === "string" ? token : await token()}`);
  }
  return metadata;
}

function isLocal(target: string): boolean {
  const address = target.replace(/^dns:\/*/, "");
  const host = address.slice(0, Math.max(0, address.lastIndexOf(":"))).replace(/^\[|\]$/g, "");
  const loopback = host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
  return loopback || target.startsWith("unix:");
}

/** How the client reaches the server: message size, retries, deadlines. */

import { readFileSync } from "node:fs";

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
 * The credentials of a channel. A token is only sent over TLS.
 *
 * @throws TypeError if there is a token and no TLS.
 */
export function channelCredentials(
  tls: grpc.ChannelCredentials | undefined,
  token: Token | undefined,
): grpc.ChannelCredentials {
  if (token === undefined) return tls ?? grpc.credentials.createInsecure();
  if (tls === undefined) throw new TypeError("a token is only sent over TLS: give credentials too");
  const bearer = grpc.credentials.createFromMetadataGenerator((_, done) => {
    Promise.resolve()
      .then(() => (typeof token === "string" ? token : token()))
      .then(
        (now) => {
          const metadata = new grpc.Metadata();
          metadata.set("authorization", `Bearer ${now}`);
          done(null, metadata);
        },
        (error: unknown) => done(error instanceof Error ? error : new Error("no token could be had")),
      );
  });
  return grpc.credentials.combineChannelCredentials(tls, bearer);
}

/// Messages in the JSON form of the vectors: integers as decimal strings, bytes as hex, codes by name.

import type { Location } from '../../src/moqt';
import { DoneCode, RequestCode } from '../../src/moqt';
import type { Message } from '../../src/moqt/wire/message';
import { formatNamespace, formatTrack } from '../../src/moqt/wire/name';
import type { Filter, Parameters, Token } from '../../src/moqt/wire/parameter';
import { hex } from './vectors';

type Json = Record<string, unknown>;

const integer = (value: bigint | undefined) => value?.toString();
const place = (location: Location | undefined) => location && [integer(location.group), integer(location.object)];

/** Without the entries that are undefined. */
function present(entries: Json): Json {
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== undefined));
}

const NAMES: Record<string, string> = {
  doesNotExist: 'DOES_NOT_EXIST',
  excessiveLoad: 'EXCESSIVE_LOAD',
  redirect: 'REDIRECT',
  trackEnded: 'TRACK_ENDED',
  tooFarBehind: 'TOO_FAR_BEHIND',
};

function codeName(code: bigint, codes: Record<string, number>): string {
  const name = Object.keys(codes).find((key) => codes[key] === Number(code));
  return name ? (NAMES[name] ?? name) : `0x${code.toString(16)}`;
}

function token(token: Token): Json {
  switch (token.form) {
    case 'DELETE':
    case 'USE_ALIAS':
      return { alias_type: token.form, alias: integer(token.alias) };
    case 'REGISTER':
      return {
        alias_type: token.form,
        alias: integer(token.alias),
        token_type: integer(token.kind),
        value: hex(token.value),
      };
    case 'USE_VALUE':
      return { alias_type: token.form, token_type: integer(token.kind), value: hex(token.value) };
  }
}

function tokens(all: readonly Token[] | undefined) {
  return all && all.length > 0 ? all.map(token) : undefined;
}

function filter(filter: Filter): Json {
  switch (filter.type) {
    case 'next-group':
      return { type: 'NEXT_GROUP_START' };
    case 'largest-object':
      return { type: 'LARGEST_OBJECT' };
    case 'absolute-start':
      return { type: 'ABSOLUTE_START', start: place(filter.start) };
    case 'absolute-range':
      return { type: 'ABSOLUTE_RANGE', start: place(filter.start), end_group: integer(filter.endGroup) };
  }
}

function parameters(all: Parameters): Json {
  const extensions =
    all.extensions && [...all.extensions].map(([type, value]) => [`0x${type.toString(16)}`, hex(value)]);
  return present({
    OBJECT_DELIVERY_TIMEOUT: integer(all.objectDeliveryTimeout),
    AUTHORIZATION_TOKEN: tokens(all.tokens),
    RENDEZVOUS_TIMEOUT: integer(all.rendezvousTimeout),
    SUBGROUP_DELIVERY_TIMEOUT: integer(all.subgroupDeliveryTimeout),
    EXPIRES: integer(all.expires),
    LARGEST_OBJECT: place(all.largestObject),
    FILL_TIMEOUT: integer(all.fillTimeout),
    FORWARD: all.forward === undefined ? undefined : Number(all.forward),
    SUBSCRIBER_PRIORITY: all.subscriberPriority,
    SUBSCRIPTION_FILTER: all.filter && filter(all.filter),
    GROUP_ORDER: all.groupOrder && (all.groupOrder === 'ascending' ? 1 : 2),
    NEW_GROUP_REQUEST: integer(all.newGroupRequest),
    TRACK_NAMESPACE_PREFIX: all.prefix && formatNamespace(all.prefix),
    extensions: extensions && Object.fromEntries(extensions),
  });
}

export function messageJson(message: Message): Json {
  return present({
    type: message.type,
    ...('parameters' in message && { parameters: parameters(message.parameters) }),
    ...('properties' in message && { properties: hex(message.properties) }),
    ...('requestId' in message && { request_id: integer(message.requestId) }),
    ...('trackAlias' in message && { track_alias: integer(message.trackAlias) }),
    ...('track' in message && { track: formatTrack(message.track) }),
    ...('suffix' in message && { suffix: formatNamespace(message.suffix) }),
    ...rest(message),
  });
}

function rest(message: Message): Json {
  const bytes = (value: Uint8Array | undefined) => value && hex(value);
  switch (message.type) {
    case 'SETUP':
      return {
        path: bytes(message.path),
        authority: bytes(message.authority),
        authorization_tokens: tokens(message.tokens),
        max_auth_token_cache_size: integer(message.maxTokenCacheSize),
        implementation: bytes(message.implementation),
        extensions: hex(message.extensions),
      };
    case 'GOAWAY':
      return { uri: hex(message.uri), timeout_ms: integer(message.timeoutMs) };
    case 'REQUEST_ERROR': {
      const redirect = message.redirect && {
        uri: hex(message.redirect.uri),
        namespace: formatNamespace(message.redirect.namespace),
        name: formatTrack({ namespace: [], name: message.redirect.name }).slice(2),
      };
      const { reason, retryAfterMs } = message;
      return { code: codeName(message.code, RequestCode), retry_after_ms: integer(retryAfterMs), reason, redirect };
    }
    case 'PUBLISH_DONE':
      return {
        code: codeName(message.code, DoneCode),
        stream_count: integer(message.streamCount),
        reason: message.reason,
      };
    case 'FETCH': {
      const { range } = message;
      if (range.kind === 'standalone') {
        const { start, end, track } = range;
        return { fetch_type: 'STANDALONE', track: formatTrack(track), start: place(start), end: place(end) };
      }
      const relative = range.kind === 'relative-joining';
      return {
        fetch_type: relative ? 'RELATIVE_JOINING' : 'ABSOLUTE_JOINING',
        subscription: integer(range.subscription),
        ...(relative ? { groups: integer(range.groups) } : { group: integer(range.group) }),
      };
    }
    case 'FETCH_OK':
      return { end_of_track: message.endOfTrack, end: place(message.end) };
    case 'PUBLISH_NAMESPACE':
      return { namespace: formatNamespace(message.namespace) };
    case 'SUBSCRIBE_NAMESPACE':
    case 'SUBSCRIBE_TRACKS':
      return { prefix: formatNamespace(message.namespace) };
    case 'PUBLISH_BLOCKED':
      return { name: formatTrack({ namespace: [], name: message.name }).slice(2) };
    default:
      return {};
  }
}

/// What the address of a page asks for: relay, certificate and name.

const asked = new URLSearchParams(location.search);

export const name = asked.get('name');
export const relay = new URL(asked.get('relay'));
/// Options that these libraries take for WebTransport: our draft alone of all versions that they speak, and the relay's certificate.
export const webtransport = { protocols: ['moqt-18'], serverCertificateHashes: [{ value: asked.get('hash') }] };
export const websocket = { enabled: false };

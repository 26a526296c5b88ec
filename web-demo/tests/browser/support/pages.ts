/// Pages that were built after the binary: HARNESS_PAGES names a folder as `npm run build` writes it. Its files take the
/// place of what a relay answers, under the relay's headers, the policy with them.
import { readFile } from 'node:fs/promises';
import { extname, resolve } from 'node:path';
import type { BrowserContext, Request } from 'playwright-core';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
};
const POLICY = 'content-security-policy';

/** Does nothing if HARNESS_PAGES is not set. */
export async function replacePages(context: BrowserContext): Promise<void> {
  const folder = process.env['HARNESS_PAGES'];
  if (!folder) return;
  // To Chromium a page that did not come over the network is a stranger here, who needs leave to reach this machine.
  await context.grantPermissions(['local-network-access']);
  await context.route('**/*', async (route) => {
    const found = await fileOf(resolve(folder), route.request());
    const headers = found && (await headersOf(route.request()));
    if (!found || !headers) {
      await route.fallback();
      return;
    }
    const type = { 'content-type': TYPES[extname(found.name)] ?? 'application/octet-stream' };
    await route.fulfill({ status: 200, body: found.body, headers: { ...headers, ...type } });
  });
}

/** As the relay chooses: `/-/NAME` is a file or a page of that name, what else is opened as a page is the front page. */
async function fileOf(folder: string, request: Request): Promise<{ name: string; body: Buffer } | undefined> {
  const { pathname } = new URL(request.url());
  const isOurs = pathname.startsWith('/-/');
  if (!isOurs && request.resourceType() !== 'document') return undefined;
  const path = isOurs ? pathname.slice('/-/'.length) : 'index.html';
  for (const name of [path, `${path}.html`]) {
    const body = await readFile(resolve(folder, name)).catch(() => undefined);
    if (body) return { name, body };
  }
  return undefined;
}

/** The headers of the relay's answer, or those of its front page for a file that it does not carry; none if it is no relay. */
async function headersOf(request: Request): Promise<Record<string, string> | undefined> {
  const { origin, pathname } = new URL(request.url());
  try {
    const answer = await fetch(`${origin}${pathname}`, { method: 'HEAD' });
    const { headers } = answer.ok ? answer : await fetch(`${origin}/`, { method: 'HEAD' });
    const { 'content-length': _length, ...rest } = Object.fromEntries(headers);
    return POLICY in rest ? rest : undefined;
  } catch {
    // Nobody answers: the browser will see that for itself.
    return undefined;
  }
}

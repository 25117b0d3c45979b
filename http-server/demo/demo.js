"use strict";
// The server says in Server-Timing what each object came over: the transport and, over SCTP, the
// association and the stream. Browsers show that to scripts of the same origin on secure pages,
// of which 127.0.0.1 is one.

const way = (entry) => {
  const said = Object.fromEntries((entry.serverTiming || []).map((t) => [t.name, t.description]));
  if (said.stream !== undefined) return { text: `stream ${said.stream}`, stream: Number(said.stream), sctp: true };
  if (said.transport !== undefined) return { text: said.transport.toUpperCase(), sctp: said.transport === "sctp" };
  return { text: "unknown", sctp: false };
};

const colour = (stream) => `hsl(${(stream * 137.5) % 360} 75% 62%)`;

// But for the icon, which browsers ask for when all is over, if at all.
const entries = () => [
  ...performance.getEntriesByType("navigation"),
  ...performance.getEntriesByType("resource").filter((e) => e.name.startsWith(location.origin)),
].filter((e) => !e.name.endsWith("/favicon.svg"))
  .sort((a, b) => a.startTime - b.startTime);

const label = () => {
  const found = new Map(entries().map((entry) => [entry.name, entry]));
  for (const figure of document.querySelectorAll(".mosaic figure")) {
    const entry = found.get(figure.querySelector("img").src);
    if (!entry) continue;
    const { text, stream } = way(entry);
    const caption = figure.querySelector("figcaption");
    caption.textContent = text;
    if (stream !== undefined) caption.style.setProperty("--stream", colour(stream));
  }
};

const chart = () => {
  const all = entries();
  const end = Math.max(...all.map((e) => e.responseEnd), 1);
  const rows = all.map((entry) => {
    const { text, stream } = way(entry);
    const row = document.createElement("div");
    row.className = "row";
    if (stream !== undefined) row.style.setProperty("--stream", colour(stream));
    const cell = (name, content) => {
      const span = document.createElement("span");
      span.className = name;
      span.textContent = content;
      row.append(span);
    };
    const path = new URL(entry.name).pathname;
    cell("name", path === "/" ? "/ (this page)" : path);
    cell("way", text);
    const track = document.createElement("div");
    track.className = "track";
    const bar = document.createElement("i");
    const start = entry.requestStart || entry.startTime;
    bar.style.left = `${(100 * start) / end}%`;
    bar.style.width = `${(100 * Math.max(entry.responseEnd - start, 0)) / end}%`;
    track.append(bar);
    row.append(track);
    cell("time", `${entry.responseEnd.toFixed(1)} ms`);
    return row;
  });
  document.getElementById("waterfall").replaceChildren(...rows);
};

const judge = () => {
  const ways = entries().map(way);
  const streams = new Set(ways.filter((w) => w.stream !== undefined).map((w) => w.stream));
  if (streams.size > 0) {
    document.getElementById("verdict").textContent =
      `This page came over SCTP: ${ways.length} objects on ${streams.size} streams.`;
  } else if (ways.some((w) => w.text === "TCP")) {
    document.getElementById("verdict").prepend(
      "This browser speaks TCP: every object came that way. ");
  }
};

addEventListener("load", () => setTimeout(() => {
  label();
  chart();
  judge();
}, 50));

document.getElementById("badges").addEventListener("click", (event) => {
  const hidden = document.querySelector(".mosaic").classList.toggle("plain");
  event.target.textContent = hidden ? "show badges" : "hide badges";
});

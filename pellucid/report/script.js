// What the page gains with a script: quicker tooltips, arrow keys in charts and in the matrix, panels that
// open without a jump, and a theme that is remembered. Without it everything is still there.
(() => {
  "use strict";
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // ---- theme: remembered where the browser allows it ----
  const remembered = (value) => {
    try {
      if (value) localStorage.setItem("pellucid-theme", value);
      return localStorage.getItem("pellucid-theme");
    } catch {
      return null;
    }
  };
  for (const input of all('input[name="theme"]')) {
    if (input.value === remembered()) input.checked = true;
    input.addEventListener("change", () => remembered(input.value));
  }

  // ---- one floating note, for charts and terms alike ----
  document.documentElement.classList.add("scripted");
  const pointer = document.querySelector(".pointer");

  const say = (text, target) => {
    pointer.hidden = !text;
    if (!text) return;
    pointer.textContent = text;
    const box = target.getBoundingClientRect();
    const size = pointer.getBoundingClientRect();
    const left = box.left + box.width / 2 - size.width / 2;
    const above = box.top - size.height - 8;
    pointer.style.left = `${Math.max(8, Math.min(left, innerWidth - size.width - 8))}px`;
    pointer.style.top = `${above > 8 ? above : Math.min(box.bottom + 8, innerHeight - size.height - 8)}px`;
  };

  for (const term of all(".term")) {
    const text = term.querySelector(".tip").textContent;
    for (const event of ["pointerenter", "focus"]) term.addEventListener(event, () => say(text, term));
    for (const event of ["pointerleave", "blur"]) term.addEventListener(event, () => say("", term));
  }

  // ---- charts: the numbers under the pointer, or under the arrow keys ----

  const mark = (svg, hit) => {
    const draw = (tag, attributes) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
      svg.append(node);
    };
    all(".cursor, .ring", svg).forEach((node) => node.remove());
    if (!hit) return;
    if (hit.classList.contains("point")) {
      draw("circle", { class: "ring", cx: hit.getAttribute("cx"), cy: hit.getAttribute("cy"), r: 6 });
    } else if (hit.dataset.x) {
      const top = Number(hit.getAttribute("y"));
      const bottom = top + Number(hit.getAttribute("height"));
      draw("line", { class: "cursor", x1: hit.dataset.x, x2: hit.dataset.x, y1: top, y2: bottom });
      for (const y of hit.dataset.y.split(" ").filter(Boolean)) {
        draw("circle", { class: "ring", cx: hit.dataset.x, cy: y, r: 4.5 });
      }
    }
  };

  const show = (svg, hit) => {
    mark(svg, hit);
    say(hit ? hit.dataset.says : "", hit);
  };

  for (const svg of all(".chart svg")) {
    const hits = all(".hit", svg);
    let at = -1;
    for (const hit of hits) {
      const title = hit.querySelector("title");
      hit.dataset.says = title.textContent;
      title.remove();
    }
    svg.addEventListener("pointermove", (event) => {
      const hit = event.target.closest(".hit");
      at = hits.indexOf(hit);
      show(svg, hit);
    });
    svg.addEventListener("pointerleave", () => show(svg, null));
    svg.addEventListener("blur", () => show(svg, null));
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") show(svg, null);
      if (!step || !hits.length) return;
      event.preventDefault();
      at = at < 0 ? (step > 0 ? 0 : hits.length - 1) : Math.min(Math.max(at + step, 0), hits.length - 1);
      show(svg, hits[at]);
    });
  }

  // ---- the confusion matrix: one stop for Tab, arrow keys inside, panels that open in place ----
  let opener = null;

  const open = (panel, link) => {
    all(".panel.open").forEach((other) => other.classList.remove("open"));
    all('.matrix a[aria-expanded="true"]').forEach((other) => other.setAttribute("aria-expanded", "false"));
    if (location.hash.startsWith("#cell-")) history.replaceState(null, "", location.pathname + location.search);
    opener = link;
    if (!panel) return;
    panel.classList.add("open");
    all(`.matrix a[href="#${panel.id}"]`).forEach((cell) => cell.setAttribute("aria-expanded", "true"));
    panel.focus({ preventScroll: true });
    panel.scrollIntoView({ block: "nearest" });
  };
  const close = () => {
    const back = opener;
    open(null, null);
    if (back) back.focus();
  };
  for (const link of all('a[href^="#cell-"]')) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      open(document.getElementById(link.hash.slice(1)), link);
    });
  }
  for (const link of all("a.close")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      close();
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.querySelector(".panel.open")) close();
  });

  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  for (const matrix of all(".matrix")) {
    const grid = all("tbody tr", matrix).map((row) => all("td", row).map((cell) => cell.querySelector("a")));
    const cells = grid.flat().filter(Boolean);
    cells.forEach((cell, i) => {
      cell.tabIndex = i ? -1 : 0;
      cell.setAttribute("aria-expanded", "false");
    });
    matrix.addEventListener("keydown", (event) => {
      const move = moves[event.key];
      let row = grid.findIndex((line) => line.includes(event.target));
      if (!move || row < 0) return;
      event.preventDefault();
      let column = grid[row].indexOf(event.target);
      do {
        row += move[0];
        column += move[1];
      } while (grid[row] && column >= 0 && column < grid[row].length && !grid[row][column]);
      const next = grid[row] && grid[row][column];
      if (!next) return;
      cells.forEach((cell) => (cell.tabIndex = cell === next ? 0 : -1));
      next.focus();
    });
  }

  // ---- snapshots: a button that runs through the frames, once, where somebody asks for it ----
  for (const snapshots of all(".snapshots")) {
    const controls = snapshots.querySelector(".controls");
    if (!controls) continue;
    const frames = all(".frame input", snapshots);
    const button = document.createElement("button");
    let timer = 0;
    const stop = () => {
      clearInterval(timer);
      timer = 0;
      button.textContent = "▶ Play";
    };
    button.type = "button";
    button.className = "play";
    button.addEventListener("click", () => {
      if (timer) return stop();
      let at = 0;
      const step = () => {
        frames[at].checked = true;
        at += 1;
        if (at === frames.length) stop();
      };
      button.textContent = "■ Stop";
      timer = setInterval(step, 600);
      step();
    });
    for (const frame of frames) frame.addEventListener("input", stop);
    stop();
    controls.prepend(button);
  }

  // ---- maps: the number under the pointer, or under the arrow keys, with its row and column ----
  for (const map of all(".heat")) {
    const grid = all("tbody tr", map).map((row) => all("td", row));
    let [row, column] = [-1, 0];
    for (const cell of grid.flat()) {
      cell.dataset.value = cell.title || cell.textContent;
      cell.removeAttribute("title");
    }
    const tell = (cell) => {
      all(".here", map).forEach((other) => other.classList.remove("here"));
      if (!cell) return say("", map);
      const name = cell.parentElement.querySelector("th").textContent;
      const above = map.tHead.rows[0].cells[cell.cellIndex].textContent;
      cell.classList.add("here");
      return say(`${name}, ${above}: ${cell.dataset.value}`, cell);
    };
    map.addEventListener("pointerover", (event) => tell(event.target.closest("tbody td")));
    map.addEventListener("pointerleave", () => tell(null));
    map.addEventListener("blur", () => tell(null));
    map.addEventListener("keydown", (event) => {
      const move = moves[event.key];
      if (event.key === "Escape") tell(null);
      if (!move) return;
      event.preventDefault();
      column = row < 0 ? 0 : Math.min(Math.max(column + move[1], 0), grid[0].length - 1);
      row = row < 0 ? 0 : Math.min(Math.max(row + move[0], 0), grid.length - 1);
      grid[row][column].scrollIntoView({ block: "nearest", inline: "nearest" });
      tell(grid[row][column]);
    });
  }

  // ---- contents: mark the section that is being read ----
  const links = new Map(all(".toc a").map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver(
    (entries) => {
      const entry = entries.find((one) => one.isIntersecting);
      if (!entry) return;
      links.forEach((link) => link.removeAttribute("aria-current"));
      links.get(entry.target.id).setAttribute("aria-current", "true");
    },
    { rootMargin: "0px 0px -70% 0px" },
  );
  all("main > section[id]").filter((section) => links.has(section.id)).forEach((section) => seen.observe(section));
})();

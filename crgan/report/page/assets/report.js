"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;

  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined) made.setAttribute(name, value);
    }
    made.append(...children.filter((child) => child !== null));
    return made;
  };

  // ---- light and dark -------------------------------------------------------------------------
  const store = {
    get() { try { return localStorage.getItem("theme"); } catch { return null; } },
    set(value) { try { localStorage.setItem("theme", value); } catch { /* a private window */ } },
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const setTheme = (theme) => {
    root.dataset.theme = theme;
    $("theme").textContent = theme === "dark" ? "Light colours" : "Dark colours";
    for (const chart of charts.keys()) draw(chart);
  };
  $("theme").addEventListener("click", () => {
    const theme = root.dataset.theme === "dark" ? "light" : "dark";
    store.set(theme);
    setTheme(theme);
  });
  system.addEventListener("change", () => {
    if (!store.get()) setTheme(system.matches ? "dark" : "light");
  });

  // ---- charts ---------------------------------------------------------------------------------
  const charts = new Map(); // drawn elements and the function that gives their specification
  const config = () => {
    const style = getComputedStyle(root);
    const [text, line] = ["--text", "--line"].map((name) => style.getPropertyValue(name).trim());
    const words = { labelColor: text, titleColor: text };
    return {
      background: null, font: "system-ui, sans-serif", view: { stroke: line }, title: { color: text },
      axis: { ...words, gridColor: line, domainColor: line, tickColor: line }, legend: { ...words, unselectedOpacity: 0.7 },
      header: words, mark: { color: style.getPropertyValue("--link").trim() },
    };
  };
  const draw = (where) => {
    const spec = charts.get(where)();
    if (!spec || !where.clientWidth) return;
    // each drawing into an element of its own: an older one that is still at work must not win
    const inside = element("div");
    where.replaceChildren(inside);
    vegaEmbed(inside, spec, { actions: false, renderer: "svg", config: config() }).then((result) => {
      result.view.addEventListener("click", (event, item) => {
        if (item && item.datum && item.datum.id) location.hash = `#job-${item.datum.id}`;
      });
    });
  };
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) { seen.unobserve(target); draw(target); }
    }
  }, { rootMargin: "400px" });
  const chart = (where, spec) => {
    const fresh = !charts.has(where);
    charts.set(where, spec);
    if (fresh) seen.observe(where); else draw(where);
  };
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return; // a phone's bars come and go
    width = innerWidth;
    for (const where of charts.keys()) if (where.firstChild) draw(where);
  });
  const filled = (name, values) => ({ ...data.specs[name], data: { values } });
  const find = (name) => [...document.querySelectorAll(`[data-chart="${name}"]`)];
  const narrow = () => innerWidth < 768;

  const curvesSpec = (entry, where) => {
    const values = Object.entries(entry.series).flatMap(([series, row]) =>
      row.map((value, i) => ({ iteration: entry.iteration[i], series, value }))
        .filter((point) => point.value !== null));
    const spec = structuredClone(filled("curves", values));
    const most = Math.max(1, Math.floor(where.clientWidth / 300));
    spec.columns = Math.min(most, Object.keys(entry.series).length);
    spec.spec.width = Math.min(320, Math.floor(where.clientWidth / spec.columns) - 75);
    return spec;
  };
  for (const where of find("curves")) {
    const select = $("c-which");
    const show = () => {
      const entry = data.charts.curves[select.value];
      $("c-job").href = `#job-${entry.key}`;
      chart(where, () => curvesSpec(entry, where));
    };
    select.addEventListener("change", show);
    show();
  }
  for (const where of find("cmc")) {
    const select = $("m-which");
    const show = () => {
      const { lines } = data.charts.cmc[select.value];
      const values = lines.flatMap(({ method, percent }) =>
        percent.map((value, i) => ({ method, rank: i + 1, percent: value })));
      chart(where, () => {
        const spec = structuredClone(filled("cmc", values));
        if (narrow()) Object.assign(spec.encoding.color.legend, { orient: "bottom", columns: 2 });
        return spec;
      });
      const ranks = [1, 5, 10, 20];
      $("m-table").replaceChildren(
        element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "method"),
          ...ranks.map((rank) => element("th", { scope: "col", class: "n" }, `rank ${rank}`)))),
        element("tbody", {}, ...lines.map(({ method, percent }) =>
          element("tr", {}, element("th", { scope: "row" }, method),
            ...ranks.map((rank) => element("td", { class: "n" }, percent[rank - 1].toFixed(1)))))),
      );
    };
    select.addEventListener("change", show);
    show();
  }
  for (const where of find("embedding")) {
    const [select, colour] = [$("e-which"), $("e-colour")];
    const side = Number(where.dataset.side);
    const show = () => {
      const entry = data.charts.embeddings[select.value].embeddings[side];
      $(side ? "e-after" : "e-before").textContent = `${side ? "After" : "Before"}: ${entry.method}` +
        ` (nearest neighbour of the same person ${entry.same_person} %, of the same camera ${entry.same_camera} %)`;
      chart(where, () => {
        const spec = structuredClone(filled(colour.value, entry.points));
        if (narrow()) spec.encoding.color.legend = { orient: "bottom", columns: 5 };
        return spec;
      });
    };
    select.addEventListener("change", show);
    colour.addEventListener("change", show);
    show();
  }
  for (const where of find("timeline")) chart(where, () => data.specs.timeline);

  // ---- samples over training, rank lists ------------------------------------------------------
  if ($("s-which")) {
    const [select, slider] = [$("s-which"), $("s-step")];
    const grids = [...document.querySelectorAll(".grid")];
    const step = () => {
      const steps = [...grids[select.value].querySelectorAll(".step")];
      steps.forEach((one, i) => { one.hidden = i !== Number(slider.value); });
      const at = steps[slider.value].dataset.at;
      $("s-at").textContent = at;
      slider.setAttribute("aria-valuetext", `${at} iterations`);
    };
    const show = () => {
      grids.forEach((grid, i) => { grid.hidden = i !== Number(select.value); });
      slider.max = grids[select.value].querySelectorAll(".step").length - 1;
      slider.value = slider.max;
      step();
    };
    select.addEventListener("change", show);
    slider.addEventListener("input", step);
    show();
  }
  if ($("r-which")) {
    $("r-which").addEventListener("change", (event) => {
      for (const one of document.querySelectorAll('[data-of="r-which"]')) {
        one.hidden = one.dataset.index !== event.target.value;
      }
    });
  }

  // ---- gallery --------------------------------------------------------------------------------
  if ($("g-target")) {
    let query = 0;
    const here = () => data.galleries[$("g-target").value];
    const tile = (index, attributes) => {
      const { tile: [wide, tall], columns } = here();
      const made = element("span", { class: "tile", ...attributes });
      made.style.width = `${wide}px`;
      made.style.height = `${tall}px`;
      made.style.backgroundImage = `url(${$(`sheet-${$("g-target").value}`).src})`;
      made.style.backgroundPosition = `${-(index % columns) * wide}px ${-Math.floor(index / columns) * tall}px`;
      return made;
    };
    const ranks = (where, index) => {
      const { views, queries, cameras } = here();
      const view = views[index];
      const found = view.queries[query];
      const rows = found.top.map(([place, right], i) => {
        const camera = cameras[place - queries.length];
        const word = right ? "right" : "wrong";
        return element("li", { class: word },
          tile(place, { role: "img", "aria-label": `rank ${i + 1}, ${word}, camera ${camera}` }),
          element("span", { "aria-hidden": "true" }, `${i + 1} ${right ? "✓" : "✗"} cam ${camera}`));
      });
      const ap = found.ap === null ? "no right image in the gallery"
        : `AP ${found.ap.toFixed(1)} %, first right at rank ${found.first}`;
      where.replaceChildren(element("h3", {}, view.label), element("p", {}, ap),
        element("ol", { class: "ranked" }, ...rows));
    };
    const show = () => {
      for (const [i, one] of [...$("g-queries").children].entries()) {
        one.setAttribute("aria-pressed", i === query);
      }
      ranks($("g-left"), $("g-a").value);
      ranks($("g-right"), $("g-b").value);
    };
    const open = () => {
      query = 0;
      const { views, queries } = here();
      const at = (name, otherwise) => {
        const index = views.findIndex(({ label }) => label === name || label.startsWith(`${name} from `));
        return index < 0 ? otherwise : index;
      };
      const chosen = { "g-a": at("Direct Transfer", 0), "g-b": at("CR-GAN", views.length - 1) };
      for (const [id, index] of Object.entries(chosen)) {
        $(id).replaceChildren(...views.map((view, i) => element("option", { value: i }, view.label)));
        $(id).value = index;
      }
      $("g-queries").replaceChildren(...queries.map(({ person, camera }, i) => {
        const made = element("button", { type: "button", "aria-label": `query ${i + 1}: person ${person}, camera ${camera}` }, tile(i, {}));
        made.addEventListener("click", () => { query = i; show(); });
        return made;
      }));
      show();
    };
    $("g-queries").addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const all = $("g-queries").children;
      query = (query + step + all.length) % all.length;
      all[query].focus();
      show();
    });
    $("g-target").addEventListener("change", open);
    $("g-a").addEventListener("change", show);
    $("g-b").addEventListener("change", show);
    open();
  }

  // ---- provenance -----------------------------------------------------------------------------
  const link = (id, text) => element("a", { href: `#job-${id}` }, text || data.jobs[id].name);
  const list = (items) => element("ul", {}, ...items.map((item) => element("li", {}, item)));
  const facts = (pairs) => element("dl", {}, ...pairs.flatMap(([name, value]) =>
    [element("dt", {}, name), element("dd", {}, value)]));
  const flat = (value, prefix = "") => Object.entries(value).flatMap(([key, inside]) =>
    inside && typeof inside === "object" && !Array.isArray(inside)
      ? flat(inside, `${prefix}${key}.`) : [[prefix + key, JSON.stringify(inside)]]);
  const has = (id) => [
    data.charts.curves.some((entry) => entry.key === id) ? "curves" : null,
    data.grids.some((entry) => entry.job === id) ? "samples" : null,
  ].filter(Boolean);
  const family = (ids) => {
    const stages = Map.groupBy ? Map.groupBy(ids, (id) => data.jobs[id].stage) : new Map([["", ids]]);
    return list([...stages].map(([stage, own]) => {
      const line = element("span", {}, `${stage}: `);
      own.forEach((id, i) => {
        const more = has(id).length ? ` (${has(id).join(", ")})` : "";
        line.append(i ? "; " : "", link(id), more);
      });
      return line;
    }));
  };
  const behind = (id) => {
    const parts = [];
    const index = data.grids.findIndex((entry) => entry.job === id);
    if (index >= 0) {
      const last = [...document.querySelectorAll(`[data-grid="${index}"] .step img`)].at(-1);
      if (last) parts.push(element("h3", {}, "Samples at the end"), last.cloneNode());
    }
    const entry = data.charts.curves.find((one) => one.key === id);
    if (entry) {
      const where = element("div", { class: "chart", role: "img", "aria-label": "Loss curves" });
      parts.push(element("h3", {}, "Loss curves"), where);
      setTimeout(() => vegaEmbed(where, curvesSpec(entry, where), { actions: false, renderer: "svg", config: config() }));
    }
    return parts;
  };
  const jobBody = (id) => {
    const job = data.jobs[id];
    const { versions, ...run } = job.run;
    return [
      job.stale ? element("p", { class: "banner" }, `Not current: ${job.stale}`)
        : element("p", {}, "Current: the present parameters and sources would make it again."),
      facts([["stage", job.stage], ...Object.entries(run).map(([k, v]) => [k.replaceAll("_", " "), String(v)]),
        ["versions", Object.entries(versions || {}).map(([k, v]) => `${k} ${v}`).join(", ")],
        ["code SHA-256", `${job.code}…`]]),
      element("pre", { tabindex: "0" }, element("code", {}, job.command)),
      ...behind(id),
      element("h3", {}, "Parameters"), facts(flat(job.params)),
      element("h3", {}, "Inputs"), list(job.inputs.map((input) => element("span", {},
        input.job ? link(input.job, input.name) : input.name, ` ${input.sha256}…`))),
      element("h3", {}, "Outputs"), list(job.outputs.map((output) =>
        `${output.name}, ${output.bytes.toLocaleString("en")} bytes, ${output.sha256}…`)),
      job.lineage.length ? element("h3", {}, "Everything before it") : null,
      job.lineage.length ? family(job.lineage) : null,
    ].filter(Boolean);
  };
  const cellBody = (entry) => entry.jobs.flatMap((id) => [
    element("h3", {}, link(id)),
    facts([["seconds", String(data.jobs[id].run.wall_seconds)],
      ["peak memory, MB", String(data.jobs[id].run.peak_memory_mb)],
      ["machine", data.jobs[id].run.machine], ["commit", String(data.jobs[id].run.commit)],
      ["current", data.jobs[id].stale ? `no: ${data.jobs[id].stale}` : "yes"]]),
    element("p", {}, "Made from:"), family(data.jobs[id].lineage),
  ]);
  const panel = $("panel");
  let opener = null;
  const visit = () => {
    const id = decodeURIComponent(location.hash.slice(1));
    const job = id.startsWith("job-") ? data.jobs[id.slice(4)] : null;
    const cell = data.anchors[id];
    if (!job && !cell) { if (panel.open) panel.close(); return; }
    if (!panel.open) { opener = document.activeElement; panel.showModal(); }
    $("panel-title").textContent = job ? job.name : cell.title;
    $("panel-body").replaceChildren(...(job ? jobBody(id.slice(4)) : cellBody(cell)));
    panel.scrollTop = 0;
    $("panel-close").focus();
  };
  $("panel-close").addEventListener("click", () => panel.close());
  panel.addEventListener("close", () => {
    if (/^#(job|from)-/.test(location.hash)) history.replaceState(null, "", location.pathname);
    if (opener && opener.focus) opener.focus({ preventScroll: true });
  });
  addEventListener("hashchange", visit);

  setTheme(store.get() || (system.matches ? "dark" : "light"));
  visit();
})();

-- What the FMHA trace says: what fusing pays, the ladder, the gate tried on planted faults, the floor in sixteen bits,
-- and named values for the chapter, the paper and the claims.
local common = require "lib.report"
local stats = require "lib.stats"
local threads = require "lib.threads"

local STEPS = { "naive", "unfused", "fused", "fused_causal", "tuned", "threads", "threads_causal" }
local IDEAS = {
  naive = "plain loops, three passes through memory",
  unfused = "three passes, products by register tiles",
  fused = "one pass over tiles, online softmax",
  fused_causal = "the same with a mask: tiles above the diagonal skipped",
  tuned = "one pass with searched tiles",
  threads = "tiles of queries shared out to two threads",
  threads_causal = "the same with a mask",
}

-- Floating-point operations over the pairs of query and key that see each other: two products forward, five backward.
local function flop(p)
  local kv_len, pairs_seen = p.kv_len or p.q_len, 0
  for i = 0, p.q_len - 1 do
    pairs_seen = pairs_seen + (p.causal and math.max(0, math.min(kv_len, i + 1 + kv_len - p.q_len)) or kv_len)
  end
  return (p.backward and 10 or 4) * p.batch * p.heads * p.head_dim * pairs_seen
end

-- A trial's speed, and the bytes that three passes move over those of its own.
local function read_trial(record)
  local s = common.speed(record, flop(record.problem))
  if record.peer_traffic_bytes then s.traffic = record.peer_traffic_bytes / record.traffic_bytes end
  return s
end

-- Three passes as the peer of the fused kernel on one thread, whose samples took turns with its own.
local function peer_of(s)
  local times = s.record.peer_time_ms
  if not times then return nil end
  local gflops = 1e-6 * flop(s.record.problem) / stats.median(times)
  common.must_agree(s.record, "peer_gflops", s.record.peer_gflops, gflops)
  return { gflops = gflops, time_ms = times, record = s.record }
end

-- Two trials of one configuration show the machine's drift, and no gain.
local function drop_untuned(sweep)
  for length, s in pairs(sweep.tuned) do
    local default, differs = sweep.fused[length], false
    for axis, value in pairs(s.record.config) do
      differs = differs or (default ~= nil and value ~= default.record.config[axis])
    end
    if not differs then sweep.tuned[length] = nil end
  end
end

-- Two threads without a second core say nothing: such trials stay in the trace and out of everything here.
local function drop_lonely(sweep)
  for _, mask in ipairs { "", "_causal" } do
    local both, one = sweep["threads" .. mask], sweep["fused" .. mask]
    for length, s in pairs(both) do
      if not (one[length] and threads.second_core(one[length].record, s.record)) then both[length] = nil end
    end
  end
end

-- trials[step][length] of the sweep, and lists of the others by their label; only trials that went well.
local function read_trials(report)
  local sweep, others = {}, { backward = {}, grouped = {}, sixteen = {}, beside_torch = {} }
  for _, step in ipairs(STEPS) do sweep[step] = {} end
  for _, record in ipairs(report.records) do
    if record.kind == "evaluate" and record.status == "ok" and record.config then
      local label = record.label:gsub("_%d+$", "")
      if others[label] then
        table.insert(others[label], read_trial(record))
      elseif label == "sweep" or label == "tuned" then
        local step = label == "tuned" and label or record.config.variant .. (record.problem.causal and "_causal" or "")
        sweep[step][record.problem.q_len] = read_trial(record)
      end
    end
  end
  for length, s in pairs(sweep.fused) do sweep.unfused[length] = peer_of(s) end
  drop_lonely(sweep)
  drop_untuned(sweep)
  return sweep, others
end

local function lengths_of(sweep)
  local lengths, seen = {}, {}
  for _, of_step in pairs(sweep) do
    for length in pairs(of_step) do
      if not seen[length] then seen[length] = true; lengths[#lengths + 1] = length end
    end
  end
  table.sort(lengths)
  return lengths
end

-- --- figures ---

-- The words of both figures, all from the trace.
local function words(report, sweep)
  local records, most, heads, dim = {}, 1, 0, 0
  for _, of_step in pairs(sweep) do
    for _, s in pairs(of_step) do
      local p = s.record.problem
      records[#records + 1] = s.record
      most, heads, dim = math.max(most, p.threads or 1), p.heads, p.head_dim
    end
  end
  return {
    machine = common.machine(report.hw),
    measured = common.measured(report, records),
    heads = ("%d heads of %d, single precision"):format(heads, dim),
    threads_title = ("%s threads"):format(common.in_words(most)),
  }
end

local function draw_fusion(report, sweep, lengths, vars)
  local rows, refs = {}, {}
  for _, step in ipairs { "fused", "fused_causal", "threads", "threads_causal" } do
    for _, length in ipairs(lengths) do
      local s = sweep[step][length]
      if s and s.ratio then
        rows[#rows + 1] = { step, length, s.ratio, s.q1, s.q3 }
        refs[#refs + 1] = report:ref(s.record)
      end
    end
  end
  for _, step in ipairs { "fused", "fused_causal" } do
    for _, length in ipairs(lengths) do
      local s = sweep[step][length]
      if s and s.traffic then
        rows[#rows + 1] = { (step:gsub("fused", "traffic")), length, s.traffic, s.traffic, s.traffic }
      end
    end
  end
  if #rows == 0 then return end
  report:figure {
    name = "fmha_fusion",
    columns = common.columns("series", "length", "ratio", "q1", "q3"),
    rows = rows, series = "series", x = "length", positive = { "ratio", "q1", "q3" }, refs = refs, vars = vars,
  }
end

local function draw_speed(report, sweep, lengths, vars)
  local rows, refs = {}, {}
  for _, step in ipairs(STEPS) do
    for _, length in ipairs(lengths) do
      local s = sweep[step][length]
      if s and step ~= "tuned" then
        local times, work = common.quartiles(s.time_ms or s.record.time_ms), 1e-6 * flop(s.record.problem)
        rows[#rows + 1] = { step, length, s.gflops, work / times.q3, work / times.q1 }
        refs[#refs + 1] = report:ref(s.record)
      end
    end
  end
  report:figure {
    name = "fmha_speed",
    columns = common.columns("step", "length", "gflops", "q1", "q3"),
    rows = rows, series = "step", x = "length", positive = { "gflops", "q1", "q3" }, refs = refs, vars = vars,
  }
end

-- --- tables ---

local function tabulate_ladder(report, sweep, lengths)
  local columns = { { header = "step", align = "left" }, { header = "idea", align = "left" } }
  for _, length in ipairs(lengths) do
    columns[#columns + 1] = { header = ("%d"):format(length), align = "right", format = "%.1f" }
  end
  local rows = {}
  for _, step in ipairs(STEPS) do
    local row, any = { (step:gsub("_", ", ")), IDEAS[step] }, false
    for _, length in ipairs(lengths) do
      local s = sweep[step][length]
      any = any or s ~= nil
      row[#row + 1] = s and { value = s.gflops, ref = report:ref(s.record) } or "not measured"
    end
    if any then rows[#rows + 1] = row end
  end
  report:table {
    name = "fmha_ladder",
    caption = "Speed of each step in GFLOP/s, by length; operations are counted for the pairs that see each other",
    columns = columns, rows = rows,
  }
end

-- The study of the floor. A cell tells what becomes of the rows of one type in one situation: NaN, or the largest
-- error.
local FLOORS = { "-inf", "-1e20", "lowest" }

local function floor_rows(rows, ref)
  local cells, order = {}, {}
  for _, row in ipairs(rows) do
    local key = row.dtype .. "\n" .. row.case
    if not cells[key] then
      cells[key] = { row.dtype, row.case }
      order[#order + 1] = cells[key]
    end
    cells[key][row.floor] = row.nan > 0 and { value = row.nan, text = ("NaN (%d)"):format(row.nan), ref = ref }
      or { value = row.error, ref = ref }
  end
  for _, row in ipairs(order) do
    for i, floor in ipairs(FLOORS) do row[2 + i], row[floor] = row[floor], nil end
  end
  return order
end

local function report_floor(report)
  local study = common.study(report, "floor_in_16_bits")
  if not study then return end
  local ref, nan, mask_error = report:ref(study), { inf = 0, inf_wide = 0, wide = 0, f16 = 0, lowest = 0 }, 0
  for _, row in ipairs(study.result.rows) do
    local half = row.dtype == "f16"
    local of = ({ ["-inf"] = "inf", lowest = "lowest" })[row.floor] or (half and "f16" or "wide")
    -- where the floor is minus infinity, a score at the floor is a masked one, and its row is counted there
    local again = row.case:find("at the floor$") and (of == "inf" or of == "f16")
    if not again then nan[of] = nan[of] + row.nan end
    if not again and of == "inf" and not half then nan.inf_wide = nan.inf_wide + row.nan end
    if of == "wide" and row.case == "all keys at the floor" then mask_error = math.max(mask_error, row.error) end
  end
  report:value("floor_cases", study.result.cases, { refs = { ref }, format = "%d" })
  report:value("floor_mask_error", mask_error, { refs = { ref }, format = "%.2f" })
  for of, count in pairs(nan) do report:value(("floor_%s_nan"):format(of), count, { refs = { ref }, format = "%d" }) end
  local columns = { { header = "type", align = "left" }, { header = "situation", align = "left" } }
  for _, floor in ipairs(FLOORS) do
    columns[#columns + 1] = { header = "from " .. floor, align = "right", format = "%.1e" }
  end
  report:table {
    name = "fmha_floor",
    caption = "Where the running maximum starts, and what becomes of it: rows of NaN, or the largest error",
    columns = columns, rows = floor_rows(study.result.rows, ref),
  }
end

-- Grouped heads and sixteen-bit numbers, beside the same without them.
local function tabulate_variants(report, others)
  local rows = {}
  local function add(what, s)
    local ref = report:ref(s.record)
    rows[#rows + 1] = {
      what, { value = s.record.problem.q_len, ref = ref }, { value = s.gflops, ref = ref },
      { value = s.record.error_over_bound, ref = ref },
    }
  end
  for _, s in ipairs(others.grouped) do
    local p = s.record.problem
    add(("%s query heads, %s of keys"):format(common.in_words(p.heads), common.in_words(p.kv_heads)), s)
  end
  for _, s in ipairs(others.sixteen) do add("rounded as " .. s.record.problem.dtype, s) end
  for _, s in ipairs(others.backward) do add("gradients, with a mask", s) end
  if #rows == 0 then return end
  report:table {
    name = "fmha_variants",
    caption = "What else the fused kernel does, on one thread",
    columns = {
      { header = "what", align = "left" }, { header = "length", align = "right", format = "%d" },
      { header = "GFLOP/s", align = "right", format = "%.1f" },
      { header = "error over bound", align = "right", format = "%.3f" },
    },
    rows = rows,
  }
end

-- --- what is compared with what ---

-- Each round, once without a mask and once with one: what PyTorch measured, its record, and ours.
local function torch_rounds(report, others)
  local rounds, ours = {}, {}
  for _, s in ipairs(others.beside_torch) do
    ours[s.record.label:match("%d+$") .. tostring(s.record.problem.causal)] = s.record
  end
  for _, record in ipairs(report.records) do
    local round = record.label and record.label:match("^torch_(%d+)$")
    for _, theirs in ipairs(round and record.status == "ok" and record.reports or {}) do
      local mine = ours[round .. tostring(theirs.causal)]
      if mine then rounds[#rounds + 1] = { number = tonumber(round), theirs = theirs, record = record, mine = mine } end
    end
  end
  return rounds
end

-- PyTorch's attention beside ours: each run of the one was followed by a run of the other. The rounds' ratios are the
-- samples of over_torch.
local function report_torch(report, others)
  local rows, ratios, refs = {}, { over_torch = {}, over_torch_causal = {} }, { over_torch = {}, over_torch_causal = {} }
  for _, r in ipairs(torch_rounds(report, others)) do
    local ours, theirs = common.quartiles(r.mine.time_ms), common.quartiles(r.theirs.time_ms)
    local key = r.mine.problem.causal and "over_torch_causal" or "over_torch"
    local our_ref, their_ref = report:ref(r.mine), report:ref(r.record)
    local ratio = theirs.median / ours.median
    table.insert(ratios[key], ratio)
    table.move({ our_ref, their_ref }, 1, 2, #refs[key] + 1, refs[key])
    rows[#rows + 1] = {
      "PyTorch " .. r.theirs.torch, r.mine.problem.causal and "causal" or "none", { value = r.number, ref = their_ref },
      common.spread_cell(ours, "%.1f", our_ref), common.spread_cell(theirs, "%.1f", their_ref),
      r.theirs.page_faults and { value = stats.median(r.theirs.page_faults), ref = their_ref } or "not counted",
      { value = ratio, ref = their_ref },
    }
  end
  if #rows == 0 then rows = { { "PyTorch is not there, so it was not measured", "", "", "", "", "", "" } } end
  for key, list in pairs(ratios) do
    if #list > 0 then
      local q = common.quartiles(list)
      common.spread(report, key, { ratio = q.median, q1 = q.q1, q3 = q.q3 }, refs[key], "%.2f")
    end
  end
  report:table {
    name = "fmha_peers",
    caption = "Peers that are programs of their own, run in turn with ours on as many threads: median (quartiles)",
    columns = {
      { header = "peer", align = "left" }, { header = "mask", align = "left" },
      { header = "round", align = "right", format = "%d" }, { header = "ours, ms", align = "right", format = "%.1f" },
      { header = "theirs, ms", align = "right", format = "%.1f" },
      { header = "pages they fetched a run", align = "right", format = "%.0f" },
      { header = "their time over ours", align = "right", format = "%.2f" },
    },
    rows = rows,
  }
end

-- The longest length at which a step was run (beside its peer, which may not fit into the memory).
local function longest(of_step, beside_peer)
  local most
  for length, s in pairs(of_step) do
    if s.ratio or not beside_peer then most = math.max(most or length, length) end
  end
  return most
end

-- a over b, the speeds of two trials of their own.
local function quotient(report, key, a, b)
  local refs = { report:ref(a.record), report:ref(b.record) }
  report:value(key, a.gflops / b.gflops, { refs = refs, format = "%.2f" })
  return { value = a.gflops / b.gflops, ref = refs[1] }
end

-- Two trials that ran minutes apart, each beside the same peer: the quotient of their ratios, which the machine's drift
-- leaves alone.
local function by_peers(report, key, fast, slow)
  if not (fast.ratio and slow.ratio) then return "not measured beside the three passes" end
  local refs = { report:ref(fast.record), report:ref(slow.record) }
  report:value(key, fast.ratio / slow.ratio, { refs = refs, format = "%.2f" })
  return { value = fast.ratio / slow.ratio, ref = refs[1] }
end

local function bytes_saved(report, entry)
  return entry and entry.traffic and { value = entry.traffic, ref = report:ref(entry.record) } or "not measured"
end

-- What each comparison says at its longest length; what could not be measured is said too.
local function tabulate_factors(report, sweep, backward)
  local rows = {}
  local function add(what, threads_used, cell, length, how)
    local at = length and type(cell) == "table" and { value = length, ref = cell.ref } or ""
    rows[#rows + 1] = { what, threads_used, how, at, cell }
  end
  local function paired(what, key, threads_used, s, length)
    if not (s and s.ratio) then return add(what, threads_used, "not measured", nil, "samples in turn") end
    local refs = { report:ref(s.record) }
    common.spread(report, key, s, refs, "%.2f")
    add(what, threads_used, common.spread_cell({ median = s.ratio, q1 = s.q1, q3 = s.q3 }, "%.2f", refs[1]), length,
      "samples in turn")
  end
  local length, plain = longest(sweep.fused, true), longest(sweep.naive)
  paired("one pass over three", "fusion", "one", sweep.fused[length], length)
  paired("the same, causal", "fusion_causal", "one", sweep.fused_causal[length], length)
  paired("the same", "fusion_threads", "two", sweep.threads[length], length)
  paired("the same, backward, causal", "fusion_backward", "one", backward, backward and backward.record.problem.q_len)
  local naive = sweep.naive[plain]
  local inverse -- the time of plain loops over that of three passes: the trial's quotients the other way round
  if naive and naive.ratio then
    inverse = { record = naive.record, ratio = 1 / naive.ratio, q1 = 1 / naive.q3, q3 = 1 / naive.q1 }
  end
  paired("three passes over plain loops", "unfused_over_naive", "one", inverse, plain)
  local both, default = sweep.threads[plain], sweep.fused[length]
  add("one pass on two threads over plain loops on one", "two and one",
    naive and both and quotient(report, "over_naive", both, naive) or "not measured on two threads", plain, "two trials")
  add("two threads over one, one pass", "two",
    sweep.threads[length] and quotient(report, "speedup_threads", sweep.threads[length], default)
      or "not measured on two threads", length, "two trials")
  local searched = longest(sweep.tuned)
  add("searched tiles over the defaults, one pass", "one",
    searched and by_peers(report, "tuned_gain", sweep.tuned[searched], sweep.fused[searched])
      or "the search ended at the defaults", searched, "two trials, each by its own three passes")
  add("bytes as counted, three passes over one, defaults", "one", bytes_saved(report, default), length, "loops")
  if searched then
    add("the same, searched tiles", "one", bytes_saved(report, sweep.tuned[searched]), searched, "loops")
  end
  report:table {
    name = "fmha_factors",
    caption = "How many times faster, or fewer bytes, at the longest length of each comparison: median (quartiles)",
    columns = {
      { header = "what", align = "left" }, { header = "threads", align = "left" }, { header = "compared", align = "left" },
      { header = "length", align = "right", format = "%d" }, { header = "factor", align = "right", format = "%.2f" },
    },
    rows = rows,
  }
end

local function report_values(report, sweep, others)
  local length = longest(sweep.fused, true)
  if not length then return end
  local fused, causal = sweep.fused[length], sweep.fused_causal[length]
  local backward = others.backward[#others.backward]
  tabulate_factors(report, sweep, backward)
  report:value("length", length, { refs = { report:ref(fused.record) }, format = "%d" })
  report:value("traffic", fused.traffic, { refs = { report:ref(fused.record) }, format = "%.1f" })
  if causal then
    local gain = stats.median(fused.record.time_ms) / stats.median(causal.record.time_ms)
    local refs = { report:ref(causal.record), report:ref(fused.record) }
    report:value("causal_gain", gain, { refs = refs, format = "%.2f" })
  end
  if backward and backward.ratio then
    local refs = { report:ref(backward.record) }
    report:value("backward_length", backward.record.problem.q_len, { refs = refs, format = "%d" })
  end
end

return function(report)
  local sweep, others = read_trials(report)
  local lengths = lengths_of(sweep)
  common.gate(report)
  common.knowledge(report)
  common.search(report)
  common.mutations(report)
  report_floor(report)
  report_torch(report, others)
  if #lengths == 0 then return end -- killed before the sweep: nothing to compare
  local vars = words(report, sweep)
  draw_fusion(report, sweep, lengths, vars)
  draw_speed(report, sweep, lengths, vars)
  tabulate_ladder(report, sweep, lengths)
  tabulate_variants(report, others)
  common.predictions(report)
  report_values(report, sweep, others)
end

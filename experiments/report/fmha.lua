-- What the FMHA trace says: what fusing pays, the ladder, the gate tried on planted faults, the floor in sixteen bits,
-- and named values for the chapter, the paper and the claims.
local common = require "lib.report"
local stats = require "lib.stats"

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

-- trials[step][length] of the sweep, and lists of the others by their label; only trials that went well.
local function read_trials(report)
  local sweep, others = {}, { backward = {}, grouped = {}, sixteen = {}, beside_torch = {} }
  for _, step in ipairs(STEPS) do sweep[step] = {} end
  for _, record in ipairs(report.records) do
    if record.kind == "evaluate" and record.status == "ok" and record.config then
      local label = record.label:gsub("_%d+$", "")
      if others[label] then
        table.insert(others[label], read_trial(record))
      else
        local step = label == "tuned" and label or record.config.variant .. (record.problem.causal and "_causal" or "")
        sweep[step][record.problem.q_len] = read_trial(record)
      end
    end
  end
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
  local records, threads, heads, dim = {}, 1, 0, 0
  for _, of_step in pairs(sweep) do
    for _, s in pairs(of_step) do
      local p = s.record.problem
      records[#records + 1] = s.record
      threads, heads, dim = math.max(threads, p.threads or 1), p.heads, p.head_dim
    end
  end
  return {
    machine = common.machine(report.hw),
    measured = common.measured(report, records),
    heads = ("%d heads of %d, single precision"):format(heads, dim),
    threads_title = ("%s threads"):format(common.in_words(threads)),
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
    columns = {
      { name = "series", type = "text" }, { name = "length", type = "number" }, { name = "ratio", type = "number" },
      { name = "q1", type = "number" }, { name = "q3", type = "number" },
    },
    rows = rows, series = "series", x = "length", positive = { "ratio", "q1", "q3" }, refs = refs, vars = vars,
  }
end

local function draw_speed(report, sweep, lengths, vars)
  local rows, refs = {}, {}
  for _, step in ipairs(STEPS) do
    for _, length in ipairs(lengths) do
      local s = sweep[step][length]
      if s and step ~= "tuned" then
        local times, work = s.record.time_ms, 1e-6 * flop(s.record.problem)
        rows[#rows + 1] = {
          step, length, s.gflops, work / stats.quantile(times, 0.75), work / stats.quantile(times, 0.25),
        }
        refs[#refs + 1] = report:ref(s.record)
      end
    end
  end
  report:figure {
    name = "fmha_speed",
    columns = {
      { name = "step", type = "text" }, { name = "length", type = "number" }, { name = "gflops", type = "number" },
      { name = "q1", type = "number" }, { name = "q3", type = "number" },
    },
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
      row[#row + 1] = s and { value = s.gflops, ref = report:ref(s.record) } or "not run"
    end
    if any then rows[#rows + 1] = row end
  end
  report:table {
    name = "fmha_ladder",
    caption = "Speed of each step in GFLOP/s, by length; operations are counted for the pairs that see each other",
    columns = columns, rows = rows,
  }
end

-- The gate tried on planted faults: which invariant caught each, and what it found.
local function found_by(record)
  if not record.caught then return "nothing" end
  local what = (record.counterexample or {}).what or "a counterexample"
  return (what:gsub("%-?%f[%a]nan%f[%A]", "NaN"))
end

local function report_mutations(report)
  local rows, refs, caught = {}, {}, 0
  for _, record in ipairs(report.records) do
    if record.kind == "evaluate" and record.label == "mutation" then
      local ref = report:ref(record)
      rows[#rows + 1] = {
        (record.fault:gsub("_", " ")), record.what, record.caught and (record.by:gsub("_", " ")) or "MISSED",
        found_by(record), { value = record.seconds, ref = ref },
      }
      refs[#refs + 1] = ref
      if record.caught then caught = caught + 1 end
    end
  end
  if #rows == 0 then return end
  report:value("faults_planted", #rows, { refs = refs, format = "%d" })
  report:value("faults_caught", caught, { refs = refs, format = "%d" })
  report:table {
    name = "fmha_mutations",
    caption = "The gate tried on planted faults",
    columns = {
      { header = "planted fault", align = "left" }, { header = "what it does", align = "left" },
      { header = "caught by", align = "left" }, { header = "found", align = "left" },
      { header = "seconds", align = "right", format = "%.2f" },
    },
    rows = rows,
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
  local study
  for _, record in ipairs(report.records) do
    if record.label == "study" and record.study == "floor_in_16_bits" then study = record end
  end
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

-- PyTorch's attention beside ours: each run of the one was followed by a run of the other.
local function report_torch(report, others)
  local rows, ratios, refs, ours = {}, {}, {}, others.beside_torch
  for _, record in ipairs(report.records) do
    if record.label and record.label:find("^torch_%d+$") and record.status == "ok" and #record.reports > 0 then
      local mine, theirs = ours[#rows + 1], record.reports[1]
      if mine then
        local time = stats.median(mine.record.time_ms)
        refs[#refs + 1], refs[#refs + 2] = report:ref(mine.record), report:ref(record)
        ratios[#ratios + 1] = stats.median(theirs.time_ms) / time
        rows[#rows + 1] = {
          "PyTorch " .. theirs.torch, { value = time, ref = refs[#refs - 1] },
          { value = stats.median(theirs.time_ms), ref = refs[#refs] },
          { value = ratios[#ratios], ref = refs[#refs] },
        }
      end
    end
  end
  if #rows == 0 then rows = { { "PyTorch is not there, so it was not measured", "", "", "" } } end
  if #ratios > 0 then report:value("over_torch", stats.median(ratios), { refs = refs, format = "%.2f" }) end
  report:table {
    name = "fmha_peers",
    caption = "Peers that are programs of their own, run in turn with ours on as many threads",
    columns = {
      { header = "peer", align = "left" }, { header = "ours, ms", align = "right", format = "%.1f" },
      { header = "theirs, ms", align = "right", format = "%.1f" },
      { header = "their time over ours", align = "right", format = "%.2f" },
    },
    rows = rows,
  }
end

-- --- values ---

local function put_ratio(report, name, s)
  local refs = { report:ref(s.record) }
  report:value(name, s.ratio, { refs = refs, format = "%.2f" })
  report:value(name .. "_q1", s.q1, { refs = refs, format = "%.2f" })
  report:value(name .. "_q3", s.q3, { refs = refs, format = "%.2f" })
end

-- a over b, two speeds that count operations alike.
local function put_quotient(report, name, a, b, by_time)
  if not (a and b) then return end
  local quotient = a.gflops / b.gflops
  if by_time then quotient = stats.median(b.record.time_ms) / stats.median(a.record.time_ms) end
  report:value(name, quotient, { refs = { report:ref(a.record), report:ref(b.record) }, format = "%.2f" })
end

-- The longest length at which a step was run (beside its peer, which may not fit into the memory).
local function longest(of_step, beside_peer)
  local most
  for length, s in pairs(of_step) do
    if s.ratio or not beside_peer then most = math.max(most or length, length) end
  end
  return most
end

local function report_values(report, sweep, others)
  local length = longest(sweep.fused, true)
  if not length then return end
  local fused = sweep.fused[length]
  report:value("length", length, { refs = { report:ref(fused.record) }, format = "%d" })
  for name, step in pairs { fusion = "fused", fusion_causal = "fused_causal", fusion_threads = "threads" } do
    local s, at_2048 = sweep[step][length], sweep[step][2048]
    if s and s.ratio then put_ratio(report, name, s) end
    if at_2048 and at_2048.ratio then put_ratio(report, name .. "_2048", at_2048) end
  end
  if fused.traffic then
    report:value("traffic", fused.traffic, { refs = { report:ref(fused.record) }, format = "%.1f" })
  end
  put_quotient(report, "causal_gain", sweep.fused_causal[length], fused, true)
  put_quotient(report, "speedup_threads", sweep.threads[length], fused)
  local searched, plain = longest(sweep.tuned), longest(sweep.naive)
  if searched then
    put_quotient(report, "tuned_gain", sweep.tuned[searched], sweep.fused[searched])
    report:value("tuned_length", searched, { refs = { report:ref(sweep.tuned[searched].record) }, format = "%d" })
  end
  if plain then
    put_quotient(report, "over_naive", sweep.threads[plain] or sweep.fused[plain], sweep.naive[plain])
    put_quotient(report, "unfused_over_naive", sweep.unfused[plain], sweep.naive[plain])
    report:value("naive_length", plain, { refs = { report:ref(sweep.naive[plain].record) }, format = "%d" })
  end
  local last = others.backward[#others.backward]
  if last and last.ratio then
    put_ratio(report, "fusion_backward", last)
    report:value("backward_length", last.record.problem.q_len, { refs = { report:ref(last.record) }, format = "%d" })
  end
end

return function(report)
  local sweep, others = read_trials(report)
  local lengths = lengths_of(sweep)
  common.gate(report)
  common.knowledge(report)
  common.search(report)
  report_mutations(report)
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

-- The atom: microGPT, one scalar at a time.
--
-- A GPT that learns to invent names: 27 tokens, width 16, 4 heads, 1 layer, 4,192 weights. Each number of the forward
-- pass is a node of a graph that knows what it was made of; one walk back over the graph gives every gradient. It is the
-- algorithm of Karpathy's microgpt.py down to the order of additions: both draw the same weights, see the same names and
-- lose the same. Everything faster is measured against this file.
--
--     local model = atom.new(docs, spak.rng(42))     shuffles docs, then draws the weights
--     model:step(i, steps)  -> loss                  one name; i = 1 .. steps
--     model:sample(0.5)     -> name
local setmetatable <const> = setmetatable

--> value
-- A node is {data, grad, a, da, b, db}: its value, d loss / d node, and what
-- it was made of, one or two nodes, each with d node / d that one. It has no
-- gradient until the walk of `backward` has met it.
local DATA <const> = 1
local GRAD <const> = 2

local Value = {}
local function node(data, a, da, b, db)
  return setmetatable({ data, nil, a, da, b, db }, Value)
end

function Value.__add(a, b)
  return node(a[DATA] + b[DATA], a, 1, b, 1)
end

function Value.__mul(a, b)
  return node(a[DATA] * b[DATA], a, b[DATA], b, a[DATA])
end

function Value.__pow(a, n)
  return node(a[DATA] ^ n, a, n * a[DATA] ^ (n - 1))
end

local function exp(a)
  local y = math.exp(a[DATA])
  return node(y, a, y)
end

local function log(a) return node(math.log(a[DATA]), a, 1 / a[DATA]) end

local function relu(a)
  return node(math.max(0, a[DATA]), a, a[DATA] > 0 and 1 or 0)
end

-- The chain rule. A walk over the graph lists each node after all that it was
-- made of; in the reverse order each hands its gradient on to those.
local function backward(loss)
  local order, count, stack, top = {}, 0, { loss }, 1
  loss[GRAD] = 1
  while top > 0 do
    local v = stack[top]
    local a, b = v[3], v[5]
    local unmet = a and not a[GRAD] and a or b and not b[GRAD] and b
    if unmet then
      unmet[GRAD], top = 0, top + 1
      stack[top] = unmet
    else
      order[count + 1] = v
      count, top = count + 1, top - 1
    end
  end
  for i = count, 1, -1 do
    local v = order[i]
    local grad, a, b = v[GRAD], v[3], v[5]
    if a then a[GRAD] = a[GRAD] + v[4] * grad end
    if b then b[GRAD] = b[GRAD] + v[6] * grad end
  end
end
--< value

local WIDTH <const> = 16
local HEADS <const> = 4
local LAYERS <const> = 1
local CONTEXT <const> = 16
local HEAD_DIM <const> = WIDTH // HEADS
local BOUNDARY <const> = 27 -- the token before and after a name; a to z are 1 to 26

--> model
local function map(f, x, y)
  local out = {}
  for i = 1, #x do out[i] = f(x[i], y and y[i]) end
  return out
end

local function dot(x, y, first, last)
  local total = x[first] * y[first]
  for i = first + 1, last do total = total + x[i] * y[i] end
  return total
end

local function linear(x, rows)
  return map(function(w) return dot(w, x, 1, #x) end, rows)
end

local function sum(x)
  local total = x[1]
  for i = 2, #x do total = total + x[i] end
  return total
end

local function softmax(x)
  local max = x[1][DATA]
  for i = 2, #x do max = math.max(max, x[i][DATA]) end
  local e = map(function(v) return exp(v + node(-max)) end, x)
  local total = sum(e)
  return map(function(v) return v * total ^ -1 end, e)
end

local function rmsnorm(x)
  local scale = (dot(x, x, 1, #x) * node(1 / #x) + node(1e-5)) ^ -0.5
  return map(function(v) return v * scale end, x)
end

-- One token in, the logits of the next one out. past[i] holds the keys and
-- the values of layer i, one of each for a position.
local function forward(weights, token, pos, past)
  local x = rmsnorm(map(Value.__add, weights.wte[token], weights.wpe[pos]))
  for i, layer in ipairs(weights) do
    local keys, values = past[i].keys, past[i].values
    local normed, heads, scale = rmsnorm(x), {}, node(HEAD_DIM ^ -0.5)
    local q = linear(normed, layer.wq)
    keys[pos] = linear(normed, layer.wk)
    values[pos] = linear(normed, layer.wv)
    for first = 1, WIDTH, HEAD_DIM do
      local last = first + HEAD_DIM - 1
      local function score(k) return dot(q, k, first, last) * scale end
      local shares = softmax(map(score, keys))
      for j = first, last do
        local function weighted(share, v) return share * v[j] end
        heads[j] = sum(map(weighted, shares, values))
      end
    end
    x = map(Value.__add, linear(heads, layer.wo), x)
    local hidden = map(relu, linear(rmsnorm(x), layer.fc1))
    x = map(Value.__add, linear(hidden, layer.fc2), x)
  end
  return linear(x, weights.lm_head)
end
--< model

local Model = {}
Model.__index = Model

local function empty_past()
  local past = {}
  for i = 1, LAYERS do past[i] = { keys = {}, values = {} } end
  return past
end

-- Adam, at a rate that falls to nothing. Forgets the gradients, for the next step's walk.
function Model:adam(i, steps)
  local m, v, rate = self.m, self.v, 0.01 * (1 - (i - 1) / steps)
  local m_weight, v_weight = 1 - 0.85 ^ i, 1 - 0.99 ^ i
  for j, p in ipairs(self.params) do
    local grad = p[GRAD] or 0
    m[j] = 0.85 * m[j] + (1 - 0.85) * grad
    v[j] = 0.99 * v[j] + (1 - 0.99) * grad ^ 2
    p[DATA] = p[DATA] - rate * (m[j] / m_weight) / ((v[j] / v_weight) ^ 0.5 + 1e-8)
    p[GRAD] = nil
  end
end

-- The loss is the mean over the name's letters and its end of -log p(token).
function Model:step(i, steps)
  local name, token, past, losses = self.docs[(i - 1) % #self.docs + 1], BOUNDARY, empty_past(), {}
  for pos = 1, math.min(CONTEXT, #name + 1) do
    local target = pos <= #name and name:byte(pos) - 96 or BOUNDARY
    losses[pos] = log(softmax(forward(self.weights, token, pos, past))[target]) * node(-1)
    token = target
  end
  local loss = sum(losses) * node(1 / #losses)
  backward(loss)
  self:adam(i, steps)
  return loss[DATA]
end

function Model:sample(temperature)
  local name, token, past = "", BOUNDARY, empty_past()
  for pos = 1, CONTEXT do
    local logits = forward(self.weights, token, pos, past)
    local odds = softmax(map(function(v) return v * node(1 / temperature) end, logits))
    token = self.rng:choices(map(function(p) return p[DATA] end, odds))
    if token == BOUNDARY then break end
    name = name .. string.char(96 + token)
  end
  return name
end

-- A letter that is no token would end as an error deep in the model.
local function check(docs)
  if #docs == 0 then error("expected names, found none", 0) end
  for i, name in ipairs(docs) do
    local bad = name:match("[^a-z]")
    if bad then
      error(("name %d, '%s': expected letters a to z, found the byte 0x%02X; write one name a line, without capitals "
        .. "and accents"):format(i, name, bad:byte()), 0)
    end
  end
end

local function new(docs, rng)
  check(docs)
  rng:shuffle(docs)
  local params, m, v = {}, {}, {}
  local function matrix(rows, columns)
    local out = {}
    for r = 1, rows do
      out[r] = {}
      for c = 1, columns do
        local p, j = node(rng:normal(0, 0.08)), #params + 1
        out[r][c], params[j], m[j], v[j] = p, p, 0, 0
      end
    end
    return out
  end
  local weights = {}
  weights.wte, weights.wpe = matrix(BOUNDARY, WIDTH), matrix(CONTEXT, WIDTH)
  weights.lm_head = matrix(BOUNDARY, WIDTH)
  for i = 1, LAYERS do
    local layer = {}
    for _, name in ipairs { "wq", "wk", "wv", "wo" } do layer[name] = matrix(WIDTH, WIDTH) end
    layer.fc1, layer.fc2 = matrix(4 * WIDTH, WIDTH), matrix(WIDTH, 4 * WIDTH)
    weights[i] = layer
  end
  return setmetatable({ docs = docs, rng = rng, weights = weights, params = params, m = m, v = v }, Model)
end

return { new = new }

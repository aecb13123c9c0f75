-- The atom: microGPT, one scalar at a time.
--
-- A GPT that learns to invent names: 27 tokens, width 16, 4 heads, 1 layer, 4,192 weights. Each number of the forward
-- pass is a node of a graph that remembers what it was made of; one walk back over the graph gives every gradient. It is
-- the algorithm of Karpathy's microgpt.py down to the order of additions, so that both draw the same weights, see the
-- same names and print the same losses. Everything faster is measured against this file.
--
--     local model = atom.new(docs, spak.rng(42))     shuffles docs, then draws the weights
--     model:step(i, steps)  -> loss                  one name; i = 1 .. steps
--     model:sample(0.5)     -> name

--> value
-- A node is {data, grad, a, da, b, db}: its value, d loss / d node, up to two
-- nodes that it was made of and the derivative by each. It has no gradient
-- until backward's walk has met it.
local DATA <const> = 1
local GRAD <const> = 2

local Value = {}
local function node(data, a, da, b, db)
  return setmetatable({ data, nil, a, da, b, db }, Value)
end

function Value.__add(a, b)
  if type(b) == "number" then return node(a[DATA] + b, a, 1) end
  return node(a[DATA] + b[DATA], a, 1, b, 1)
end

function Value.__mul(a, b)
  if type(b) == "number" then return node(a[DATA] * b, a, b) end
  local x, y = a[DATA], b[DATA]
  return node(x * y, a, y, b, x)
end

function Value.__pow(a, n)
  return node(a[DATA] ^ n, a, n * a[DATA] ^ (n - 1))
end

function Value.__div(a, b) return a * b ^ -1 end

local function exp(a)
  local y = math.exp(a[DATA])
  return node(y, a, y)
end

local function log(a) return node(math.log(a[DATA]), a, 1 / a[DATA]) end

local function relu(a)
  local x = a[DATA]
  return node(x > 0 and x or 0.0, a, x > 0 and 1 or 0)
end

-- The chain rule. A stack walks the graph, operands before what was made of
-- them; in the opposite order each node hands its gradient down.
local function backward(loss)
  local order, stack, top = {}, { loss }, 1
  loss[GRAD] = 1
  while top > 0 do
    local v = stack[top]
    local a, b = v[3], v[5]
    if a and not a[GRAD] then
      a[GRAD], top = 0, top + 1
      stack[top] = a
    elseif b and not b[GRAD] then
      b[GRAD], top = 0, top + 1
      stack[top] = b
    else
      order[#order + 1], top = v, top - 1
    end
  end
  for i = #order, 1, -1 do
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

--> model
local function sum(list)
  local total = list[1]
  for i = 2, #list do total = total + list[i] end
  return total
end

local function map(f, x, y)
  local out = {}
  for i = 1, #x do out[i] = f(x[i], y and y[i]) end
  return out
end

local function dot(x, y, from, to)
  local total = x[from] * y[from]
  for i = from + 1, to do total = total + x[i] * y[i] end
  return total
end

local function linear(x, rows)
  return map(function(w) return dot(w, x, 1, #x) end, rows)
end

local function softmax(x)
  local max = x[1][DATA]
  for i = 2, #x do max = math.max(max, x[i][DATA]) end
  local e = map(function(v) return exp(v + -max) end, x)
  local total = sum(e)
  return map(function(v) return v / total end, e)
end

local function rmsnorm(x)
  local scale = (dot(x, x, 1, #x) * (1 / #x) + 1e-5) ^ -0.5
  return map(function(v) return v * scale end, x)
end

-- One token in, the logits of the next one out. cache holds, layer by layer,
-- the keys and values of the positions before.
local function forward(weights, token, pos, cache)
  local x = rmsnorm(map(Value.__add, weights.wte[token], weights.wpe[pos]))
  local size = WIDTH // HEADS
  for i, layer in ipairs(weights.layers) do
    local normed, past, heads = rmsnorm(x), cache[i], {}
    local q = linear(normed, layer.wq)
    past.keys[pos] = linear(normed, layer.wk)
    past.values[pos] = linear(normed, layer.wv)
    for from = 1, WIDTH, size do
      local share = softmax(map(function(key)
        return dot(q, key, from, from + size - 1) * (1 / size ^ 0.5)
      end, past.keys))
      for j = from, from + size - 1 do
        heads[j] = sum(map(function(s, v) return s * v[j] end, share, past.values))
      end
    end
    x = map(Value.__add, linear(heads, layer.wo), x)
    local hidden = map(relu, linear(rmsnorm(x), layer.fc1))
    x = map(Value.__add, linear(hidden, layer.fc2), x)
  end
  return linear(x, weights.lm_head)
end
--< model

local function new_cache()
  local cache = {}
  for i = 1, LAYERS do cache[i] = { keys = {}, values = {} } end
  return cache
end

local Model = {}
Model.__index = Model

-- Adam, with a learning rate that falls to nothing, and clean gradients for the next step.
local function adam(self, i, steps)
  local m, v, rate = self.m, self.v, 0.01 * (1 - (i - 1) / steps)
  local m_scale, v_scale = 1 - 0.85 ^ i, 1 - 0.99 ^ i
  for j, p in ipairs(self.params) do
    local grad = p[GRAD] or 0
    m[j] = 0.85 * m[j] + (1 - 0.85) * grad
    v[j] = 0.99 * v[j] + (1 - 0.99) * grad ^ 2
    p[DATA] = p[DATA] - rate * (m[j] / m_scale) / ((v[j] / v_scale) ^ 0.5 + 1e-8)
    p[GRAD] = nil
  end
end

-- The mean over the name's positions of -log p(next letter); the boundary token stands before the name and after it.
function Model:step(i, steps)
  local name = self.docs[(i - 1) % #self.docs + 1]
  local token, cache, losses = self.boundary, new_cache(), {}
  for pos = 1, math.min(CONTEXT, #name + 1) do
    local target = self.token_of[name:sub(pos, pos)] or self.boundary
    losses[pos] = log(softmax(forward(self.weights, token, pos, cache))[target]) * -1
    token = target
  end
  local loss = sum(losses) * (1 / #losses)
  backward(loss)
  adam(self, i, steps)
  return loss[DATA]
end

function Model:sample(temperature)
  local token, cache, name = self.boundary, new_cache(), {}
  for pos = 1, CONTEXT do
    local logits = forward(self.weights, token, pos, cache)
    local odds = softmax(map(function(v) return v * (1 / temperature) end, logits))
    token = self.rng:choices(map(function(p) return p[DATA] end, odds))
    if token == self.boundary then break end
    name[pos] = self.letters[token]
  end
  return table.concat(name)
end

local function new(docs, rng)
  rng:shuffle(docs)
  local self = setmetatable({ docs = docs, rng = rng, letters = {}, token_of = {}, params = {}, m = {}, v = {} }, Model)
  for _, name in ipairs(docs) do
    for letter in name:gmatch(".") do
      if not self.token_of[letter] then
        self.token_of[letter] = true
        self.letters[#self.letters + 1] = letter
      end
    end
  end
  table.sort(self.letters)
  for token, letter in ipairs(self.letters) do self.token_of[letter] = token end
  self.boundary = #self.letters + 1

  local function matrix(rows, columns)
    local out = {}
    for r = 1, rows do
      out[r] = {}
      for c = 1, columns do
        local p, j = node(rng:normal(0, 0.08)), #self.params + 1
        out[r][c], self.params[j], self.m[j], self.v[j] = p, p, 0, 0
      end
    end
    return out
  end
  local weights = { wte = matrix(self.boundary, WIDTH), wpe = matrix(CONTEXT, WIDTH),
    lm_head = matrix(self.boundary, WIDTH), layers = {} }
  for i = 1, LAYERS do
    local square = function() return matrix(WIDTH, WIDTH) end
    weights.layers[i] = { wq = square(), wk = square(), wv = square(), wo = square(),
      fc1 = matrix(4 * WIDTH, WIDTH), fc2 = matrix(WIDTH, 4 * WIDTH) }
  end
  self.weights = weights
  return self
end

return { new = new }

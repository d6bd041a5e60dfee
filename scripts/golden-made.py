#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Small models with random weights, and their logits by a plain pass in numpy, float64.

    golden-made.py make DIR      writes DIR/mixtral, DIR/gemma4_shared and DIR/gemma4_mixture
    golden-made.py verify DIR    the same pass over DIR's models that transformers made logits of

For what no published implementation's logits are at hand: mixtral, and the parts of gemma4_text
that its golden model lacks (shared caches, keys in place of values, wider layers, experts).
Python packages: numpy.
"""
import json
import struct
import sys
from pathlib import Path

import numpy as np

IDS, GREEDY = 48, 16


def read(directory):
    raw = (directory / "model.safetensors").read_bytes()
    n = struct.unpack("<Q", raw[:8])[0]
    out = {}
    for name, t in json.loads(raw[8:8 + n]).items():
        if name != "__metadata__":
            a, b = t["data_offsets"]
            half = np.frombuffer(raw[8 + n + a:8 + n + b], "<u2").astype("<u4") << 16
            out[name] = half.view("<f4").astype(np.float64).reshape(t["shape"])
    return out


def write(directory, tensors):
    heads, data = {}, b""
    for name, t in sorted(tensors.items()):
        bits = (t.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
        heads[name] = {"dtype": "BF16", "shape": list(t.shape),
                       "data_offsets": [len(data), len(data) + len(bits)]}
        data += bits
    text = json.dumps(heads).encode()
    text += b" " * (-len(text) % 8)
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


# ---- the pass

def rms(x, w, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def silu(x):
    return x / (1 + np.exp(-x))


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))


def rotate(x, theta, turned):
    """[heads, n, d]: pairs (i, i + d/2), the first `turned` elements' worth of them."""
    d = x.shape[-1]
    f = np.where(np.arange(d // 2) < turned // 2, theta ** (-2 * np.arange(d // 2) / d), 0)
    a = np.arange(x.shape[1])[:, None] * f
    u, v = x[..., :d // 2], x[..., d // 2:]
    return np.concatenate([u * np.cos(a) - v * np.sin(a), v * np.cos(a) + u * np.sin(a)], -1)


def heads(x, n):
    return x.reshape(len(x), n, -1).swapaxes(0, 1)


def attend(q, k, v, scale, window):
    n = q.shape[1]
    far = np.arange(n)[:, None] - np.arange(n)
    hidden = (far < 0) | (far >= (window or n))
    k, v = (np.repeat(t, len(q) // len(t), 0) for t in (k, v))
    p = softmax(np.where(hidden, -np.inf, q @ k.swapaxes(1, 2) * scale))
    return (p @ v).swapaxes(0, 1).reshape(n, -1)


def mixture(w, at, x, c):
    z = x @ w[at + "gate.weight"].T
    out = np.zeros_like(x)
    for row in range(len(x)):
        best = np.argsort(-z[row], kind="stable")[:c["num_experts_per_tok"]]
        for share, e in zip(softmax(z[row][best]), best):
            p = f"{at}experts.{e}."
            h = silu(w[p + "w1.weight"] @ x[row]) * (w[p + "w3.weight"] @ x[row])
            out[row] += share * (w[p + "w2.weight"] @ h)
    return out


def llama(w, c, ids):
    """llama, mistral, mixtral"""
    d = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
    eps, x = c["rms_norm_eps"], w["model.embed_tokens.weight"][ids]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        h = rms(x, w[p + "input_layernorm.weight"], eps)
        q, k, v = (heads(h @ w[f"{p}self_attn.{n}_proj.weight"].T,
                         c["num_attention_heads" if n == "q" else "num_key_value_heads"]) for n in "qkv")
        q, k = (rotate(t, c["rope_theta"], d) for t in (q, k))
        x = x + attend(q, k, v, d ** -0.5, c.get("sliding_window")) @ w[p + "self_attn.o_proj.weight"].T
        h = rms(x, w[p + "post_attention_layernorm.weight"], eps)
        if p + "block_sparse_moe.gate.weight" in w:
            x = x + mixture(w, p + "block_sparse_moe.", h, c)
        else:
            g, u, o = (w[f"{p}mlp.{n}_proj.weight"] for n in ("gate", "up", "down"))
            x = x + (silu(h @ g.T) * (h @ u.T)) @ o.T
    return rms(x, w["model.norm.weight"], eps) @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T


def beside(w, p, x, c):
    """What experts give of the stream x, beside the feed-forward."""
    eps, own = c["rms_norm_eps"], c["moe_intermediate_size"]
    z = rms(x, w[p + "router.scale"], eps) * c["hidden_size"] ** -0.5 @ w[p + "router.proj.weight"].T
    h = rms(x, w[p + "pre_feedforward_layernorm_2.weight"], eps)
    out = np.zeros_like(x)
    for row in range(len(x)):
        best = np.argsort(-z[row], kind="stable")[:c["top_k_experts"]]
        for share, e in zip(softmax(z[row][best]), best):
            both = w[p + "experts.gate_up_proj"][e] @ h[row]
            y = w[p + "experts.down_proj"][e] @ (gelu(both[:own]) * both[own:])
            out[row] += share * w[p + "router.per_expert_scale"][e] * y
    return rms(out, w[p + "post_feedforward_layernorm_2.weight"], eps)


def layer_inputs(w, c, x, ids):
    """[ids, layers, own]: an embedding of the token for each layer"""
    eps, n, own = c["rms_norm_eps"], c["num_hidden_layers"], c["hidden_size_per_layer_input"]
    if not own:
        return None
    said = (x @ w["model.per_layer_model_projection.weight"].T * c["hidden_size"] ** -0.5).reshape(len(ids), n, own)
    said = rms(said, w["model.per_layer_projection_norm.weight"], eps)
    owns = w["model.embed_tokens_per_layer.weight"][ids].reshape(len(ids), n, own) * np.sqrt(own)
    return (owns + said) * 2 ** -0.5


def gemma4(w, c, ids):
    eps, first = c["rms_norm_eps"], c["num_hidden_layers"] - c["num_kv_shared_layers"]
    x = w["model.embed_tokens.weight"][ids] * np.sqrt(c["hidden_size"])
    owns, kept = layer_inputs(w, c, x, ids), {}
    for i, kind in enumerate(c["layer_types"]):
        p, full = f"model.layers.{i}.", kind == "full_attention"
        a = p + "self_attn."
        rope = c["rope_parameters"][kind]
        h = rms(x, w[p + "input_layernorm.weight"], eps)
        q = rms(heads(h @ w[a + "q_proj.weight"].T, c["num_attention_heads"]), w[a + "q_norm.weight"], eps)
        turned = int(q.shape[-1] * rope.get("partial_rotary_factor", 1))
        q = rotate(q, rope["rope_theta"], turned)
        if i < first:
            k = h @ w[a + "k_proj.weight"].T
            same = full and c["attention_k_eq_v"]
            v = k if same else h @ w[a + "v_proj.weight"].T
            n = k.shape[1] // q.shape[-1]
            k = rotate(rms(heads(k, n), w[a + "k_norm.weight"], eps), rope["rope_theta"], turned)
            kept[kind] = k, rms(heads(v, n), 1, eps)
        y = attend(q, *kept[kind], 1, 0 if full else c["sliding_window"]) @ w[a + "o_proj.weight"].T
        x = x + rms(y, w[p + "post_attention_layernorm.weight"], eps)
        h = rms(x, w[p + "pre_feedforward_layernorm.weight"], eps)
        g, u, o = (w[f"{p}mlp.{n}_proj.weight"] for n in ("gate", "up", "down"))
        y = (gelu(h @ g.T) * (h @ u.T)) @ o.T
        if c["enable_moe_block"]:
            y = rms(y, w[p + "post_feedforward_layernorm_1.weight"], eps) + beside(w, p, x, c)
        x = x + rms(y, w[p + "post_feedforward_layernorm.weight"], eps)
        if owns is not None:
            y = gelu(x @ w[p + "per_layer_input_gate.weight"].T) * owns[:, i]
            y = y @ w[p + "per_layer_projection.weight"].T
            x = x + rms(y, w[p + "post_per_layer_input_norm.weight"], eps)
        x = x * w[p + "layer_scalar"]
    z = rms(x, w["model.norm.weight"], eps) @ w["model.embed_tokens.weight"].T
    cap = c.get("final_logit_softcapping")
    return cap * np.tanh(z / cap) if cap else z


PASS = {"llama": llama, "mistral": llama, "mixtral": llama, "gemma4_text": gemma4}

# ---- models

MIXTRAL = {
    "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_size": 32,
    "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "num_local_experts": 4, "num_experts_per_tok": 2, "rms_norm_eps": 1e-5, "rope_theta": 1000000.0,
    "sliding_window": None, "max_position_embeddings": 512, "vocab_size": 160, "hidden_act": "silu",
    "tie_word_embeddings": False, "torch_dtype": "bfloat16", "bos_token_id": 1, "eos_token_id": 2,
}
GEMMA4 = {
    "architectures": ["Gemma4ForCausalLM"], "model_type": "gemma4_text", "hidden_size": 32,
    "intermediate_size": 40, "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2,
    "num_global_key_value_heads": 1, "head_dim": 16, "global_head_dim": 32, "attention_k_eq_v": True,
    "num_kv_shared_layers": 2, "use_double_wide_mlp": True, "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": 160, "vocab_size": 160, "sliding_window": 16, "rms_norm_eps": 1e-6,
    "layer_types": ["sliding_attention", "full_attention"] * 3, "final_logit_softcapping": 30.0,
    "rope_parameters": {
        "full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1e6, "rope_type": "proportional"},
        "sliding_attention": {"rope_theta": 1e4, "rope_type": "default"}},
    "enable_moe_block": False, "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 512,
    "tie_word_embeddings": True, "dtype": "bfloat16", "bos_token_id": 1, "eos_token_id": 2,
}
MIXTURE = GEMMA4 | {
    "enable_moe_block": True, "num_experts": 8, "top_k_experts": 3, "moe_intermediate_size": 24,
    "num_kv_shared_layers": 0, "use_double_wide_mlp": False, "hidden_size_per_layer_input": 0,
    "num_hidden_layers": 4, "layer_types": ["sliding_attention", "full_attention"] * 2,
}


def mixtral_shapes(c):
    d, f, v = c["hidden_size"], c["intermediate_size"], c["vocab_size"]
    s = {"model.embed_tokens.weight": (v, d), "lm_head.weight": (v, d), "model.norm.weight": (d,)}
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        s |= {p + "input_layernorm.weight": (d,), p + "post_attention_layernorm.weight": (d,),
              p + "self_attn.q_proj.weight": (d, d), p + "self_attn.o_proj.weight": (d, d),
              p + "self_attn.k_proj.weight": (d // 2, d), p + "self_attn.v_proj.weight": (d // 2, d),
              p + "block_sparse_moe.gate.weight": (c["num_local_experts"], d)}
        for e in range(c["num_local_experts"]):
            q = f"{p}block_sparse_moe.experts.{e}."
            s |= {q + "w1.weight": (f, d), q + "w2.weight": (d, f), q + "w3.weight": (f, d)}
    return s


def gemma4_shapes(c):
    d, v, n, own = c["hidden_size"], c["vocab_size"], c["num_hidden_layers"], c["hidden_size_per_layer_input"]
    s = {"model.embed_tokens.weight": (v, d), "model.norm.weight": (d,)}
    if own:
        s |= {"model.embed_tokens_per_layer.weight": (v, n * own),
              "model.per_layer_model_projection.weight": (n * own, d),
              "model.per_layer_projection_norm.weight": (own,)}
    for i, kind in enumerate(c["layer_types"]):
        p, full, shared = f"model.layers.{i}.", kind == "full_attention", i >= n - c["num_kv_shared_layers"]
        h = c["global_head_dim"] if full else c["head_dim"]
        kv = h * (c["num_global_key_value_heads"] if full else c["num_key_value_heads"])
        f = c["intermediate_size"] * (2 if shared else 1)
        norms = ["input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
                 "post_feedforward_layernorm"] + ["post_per_layer_input_norm"] * bool(own)
        if c["enable_moe_block"]:
            e, m = c["num_experts"], c["moe_intermediate_size"]
            norms += ["pre_feedforward_layernorm_2", "post_feedforward_layernorm_1", "post_feedforward_layernorm_2"]
            s |= {p + "router.scale": (d,), p + "router.per_expert_scale": (e,), p + "router.proj.weight": (e, d),
                  p + "experts.gate_up_proj": (e, 2 * m, d), p + "experts.down_proj": (e, d, m)}
        s |= {f"{p}{name}.weight": (d,) for name in norms}
        s |= {p + "self_attn.q_proj.weight": (4 * h, d), p + "self_attn.o_proj.weight": (d, 4 * h),
              p + "self_attn.q_norm.weight": (h,), p + "layer_scalar": (1,),
              p + "mlp.gate_proj.weight": (f, d), p + "mlp.up_proj.weight": (f, d),
              p + "mlp.down_proj.weight": (d, f)}
        if own:
            s |= {p + "per_layer_input_gate.weight": (own, d), p + "per_layer_projection.weight": (d, own)}
        if not shared:
            s |= {p + "self_attn.k_proj.weight": (kv, d), p + "self_attn.k_norm.weight": (h,)}
        if not shared and not full:
            s[p + "self_attn.v_proj.weight"] = (kv, d)
    return s


def make(directory, config, shapes, seed):
    rng = np.random.default_rng(seed)
    directory.mkdir(parents=True, exist_ok=True)
    # norms about 1, else a matrix that keeps a norm
    tensors = {name: 1 + 0.1 * rng.standard_normal(s) if len(s) == 1 else
               rng.standard_normal(s) * (1 if "embed" in name else s[-1] ** -0.5) for name, s in shapes.items()}
    write(directory, tensors)
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    w, run = read(directory), PASS[config["model_type"]]
    ids = [1] + [int(i) for i in rng.integers(3, config["vocab_size"], IDS - 1)]
    logits = run(w, config, ids)
    np.save(directory / "logits.npy", logits.astype(np.float32))
    greedy = []
    for _ in range(GREEDY):
        greedy.append(int(run(w, config, ids + greedy)[-1].argmax()))
    (directory / "golden.json").write_text(json.dumps(
        {"model_type": config["model_type"], "by": "numpy", "ids": ids, "greedy": greedy,
         "note": "made by scripts/golden-made.py"}) + "\n")


def verify(root):
    for name in ("llama", "mistral", "gemma4_text"):
        config = json.loads((root / name / "config.json").read_text())
        ids = json.loads((root / name / "golden.json").read_text())["ids"]
        if (config.get("rope_scaling") or {}).get("rope_type", "default") != "default":
            continue
        c = {"rope_theta": 10000.0, **config}
        off = np.abs(PASS[config["model_type"]](read(root / name), c, ids) - np.load(root / name / "logits.npy")).max()
        print(f"{name}\t{off:.3g}")
        assert off < 1e-3, name


if sys.argv[1:2] == ["make"]:
    make(Path(sys.argv[2]) / "mixtral", MIXTRAL, mixtral_shapes(MIXTRAL), 11)
    make(Path(sys.argv[2]) / "gemma4_shared", GEMMA4, gemma4_shapes(GEMMA4), 12)
    make(Path(sys.argv[2]) / "gemma4_mixture", MIXTURE, gemma4_shapes(MIXTURE), 13)
elif sys.argv[1:2] == ["verify"]:
    verify(Path(sys.argv[2]))
else:
    sys.exit(__doc__)

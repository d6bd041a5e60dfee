#!/usr/bin/env python3
"""make.py FAMILY OUT - a GGUF of tests/data/golden/FAMILY by the gguf package,
with the names, keys and conventions of llama.cpp's converter: norms of the
Gemma families whole, q and k of smollm3 in pairs. Matrices stay bf16."""

import json
import os
import struct
import sys

import gguf
import numpy as np


def load(d):
    f = open(d + "/model.safetensors", "rb")
    n = struct.unpack("<Q", f.read(8))[0]
    h = json.loads(f.read(n))
    base = 8 + n
    out = {}
    for k, v in h.items():
        if k == "__metadata__":
            continue
        f.seek(base + v["data_offsets"][0])
        b = f.read(v["data_offsets"][1] - v["data_offsets"][0])
        if v["dtype"] == "BF16":
            a = (np.frombuffer(b, np.uint16).astype(np.uint32) << 16).view(np.float32)
        elif v["dtype"] == "F16":
            a = np.frombuffer(b, np.float16).astype(np.float32)
        else:
            a = np.frombuffer(b, np.float32)
        out[k] = a.reshape(v["shape"])
    return out


fam, out = sys.argv[1:3]
d = os.path.join(os.path.dirname(__file__), "..", "golden", fam)
c = json.load(open(d + "/config.json"))
t = load(d)
arch = {"gemma3_text": "gemma3"}.get(fam, fam)
w = gguf.GGUFWriter(out, arch)
A = arch
D, H = c["hidden_size"], c["num_attention_heads"]
hd = c.get("head_dim") or D // H
w.add_block_count(c["num_hidden_layers"])
w.add_embedding_length(D)
w.add_feed_forward_length(c["intermediate_size"])
w.add_head_count(H)
w.add_head_count_kv(c["num_key_value_heads"])
w.add_context_length(c["max_position_embeddings"])
w.add_layer_norm_rms_eps(c["rms_norm_eps"])
w.add_key_length(hd)
w.add_value_length(hd)
rp = c.get("rope_parameters") or {}
th = c.get("rope_theta") or rp.get("rope_theta") or rp.get("full_attention", {}).get("rope_theta")
if fam != "gemma":
    w.add_rope_freq_base(th)
if fam == "gemma3_text":
    w.add_float32("gemma3.rope.freq_base_swa", rp["sliding_attention"]["rope_theta"])
if fam in ("glm4", "phi3"):
    w.add_rope_dimension_count(int(hd * c["partial_rotary_factor"]))
if c.get("sliding_window"):
    w.add_sliding_window(c["sliding_window"])
if c.get("attn_logit_softcapping"):
    w.add_attn_logit_softcapping(c["attn_logit_softcapping"])
if c.get("final_logit_softcapping"):
    w.add_final_logit_softcapping(c["final_logit_softcapping"])
norms = {"gemma": {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}}
around = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
N = {
    "gemma": norms["gemma"],
    "phi3": norms["gemma"],
    "smollm3": norms["gemma"],
    "gemma2": around,
    "gemma3_text": around,
    "olmo2": around,
    "glm4": {
        "input_layernorm": "attn_norm",
        "post_self_attn_layernorm": "post_attention_norm",
        "post_attention_layernorm": "ffn_norm",
        "post_mlp_layernorm": "post_ffw_norm",
    },
}[fam]
M = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate_up_proj": "ffn_up",
}
M.update(N)
for k, a in t.items():
    if k == "model.embed_tokens.weight":
        n = "token_embd.weight"
    elif k == "model.norm.weight":
        n = "output_norm.weight"
    elif k == "lm_head.weight":
        if c.get("tie_word_embeddings"):
            continue
        n = "output.weight"
    else:
        p = k.split(".")
        mod = ".".join(p[3:-1])
        n = "blk.%s.%s.%s" % (p[2], M[mod], p[-1])
        if fam == "smollm3" and mod in ("self_attn.q_proj", "self_attn.k_proj"):
            nh = a.shape[0] // hd
            a = a.reshape(nh, 2, hd // 2, -1).swapaxes(1, 2).reshape(a.shape)
    if fam.startswith("gemma") and k.endswith("norm.weight"):
        a = a + 1
    a = np.ascontiguousarray(a, np.float32)
    if a.ndim == 2:
        w.add_tensor(
            n,
            (a.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8),
            raw_dtype=gguf.GGMLQuantizationType.BF16,
        )
    else:
        w.add_tensor(n, a)
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()

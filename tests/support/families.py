"""Model families as tiny models of transformers' own code with random weights, all of one vocabulary."""

from __future__ import annotations

from typing import Any

VOCABULARY = {"vocab_size": 260, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
LLAMA = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 256}  # fmt: skip
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2,
           "moe_intermediate_size": 32}  # fmt: skip
LATENT = {"kv_lora_rank": 16, "q_lora_rank": 24, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8,
          "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1,
          "num_key_value_heads": 4}  # fmt: skip
WINDOW = {"sliding_window": 8}
MIXED = {"layer_types": ["sliding_attention", "full_attention"]}
MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_n_groups": 1, "mamba_d_state": 8, "mamba_d_conv": 4,
         "mamba_expand": 2, "mamba_chunk_size": 8}  # fmt: skip
OPT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 256}

CAUSAL: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", LLAMA),
    "llama-yarn": ("llama", LLAMA | {"rope_parameters": {
        "rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4, "original_max_position_embeddings": 64}}),
    "llama-dynamic": ("llama", LLAMA | {"rope_parameters": {
        "rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}}),
    "mistral": ("mistral", LLAMA | WINDOW),
    "ministral": ("ministral", LLAMA | WINDOW | {"head_dim": 8}),
    "mixtral": ("mixtral", LLAMA | EXPERTS | WINDOW),
    "gemma": ("gemma", LLAMA | {"head_dim": 8}),
    "gemma2": ("gemma2", LLAMA | WINDOW | {"head_dim": 8, "query_pre_attn_scalar": 8}),
    "gemma3": ("gemma3_text", LLAMA | WINDOW | {"head_dim": 8, "query_pre_attn_scalar": 8,
               "layer_types": ["sliding_attention", "full_attention"]}),
    "gemma3n": ("gemma3n_text", LLAMA | WINDOW | {"head_dim": 8, "num_hidden_layers": 4, "num_kv_shared_layers": 2,
                "laurel_rank": 8, "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 260,
                "intermediate_size": 64, "activation_sparsity_pattern": [0.0] * 4,
                "layer_types": ["sliding_attention", "full_attention"] * 2}),
    "gemma4": ("gemma4_text", LLAMA | WINDOW | {"head_dim": 8, "global_head_dim": 8, "num_hidden_layers": 4,
               "num_kv_shared_layers": 2, "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 260,
               "layer_types": ["sliding_attention", "full_attention"] * 2}),
    "qwen2": ("qwen2", LLAMA),
    "qwen2-window": ("qwen2", LLAMA | WINDOW | {"use_sliding_window": True, "max_window_layers": 1}),
    "qwen2-moe": ("qwen2_moe", LLAMA | EXPERTS | {"shared_expert_intermediate_size": 32}),
    "qwen3": ("qwen3", LLAMA | {"head_dim": 8}),
    "qwen3-moe": ("qwen3_moe", LLAMA | EXPERTS | {"head_dim": 8}),
    "qwen3-next": ("qwen3_next", LLAMA | EXPERTS | {"head_dim": 8, "linear_num_value_heads": 4,
                   "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
                   "shared_expert_intermediate_size": 32, "layer_types": ["linear_attention", "full_attention"]}),
    "phi": ("phi", LLAMA | {"num_key_value_heads": 4, "partial_rotary_factor": 0.5}),
    "phi3": ("phi3", LLAMA | WINDOW),
    "phi3-longrope": ("phi3", LLAMA | {"original_max_position_embeddings": 24, "rope_parameters": {
        "rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4,
        "original_max_position_embeddings": 24}}),
    "starcoder2": ("starcoder2", LLAMA | WINDOW),
    "granite": ("granite", LLAMA | {"logits_scaling": 4.0, "attention_multiplier": 0.3, "residual_multiplier": 0.5}),
    "granite-moe": ("granitemoe", LLAMA | EXPERTS | {"logits_scaling": 4.0}),
    "cohere": ("cohere", LLAMA | {"logit_scale": 0.3}),
    "cohere2": ("cohere2", LLAMA | WINDOW | MIXED | {"logit_scale": 0.3}),
    "olmo": ("olmo", LLAMA),
    "olmo2": ("olmo2", LLAMA),
    "olmo3": ("olmo3", LLAMA | WINDOW | MIXED),
    "olmoe": ("olmoe", LLAMA | EXPERTS),
    "stablelm": ("stablelm", LLAMA),
    "nemotron": ("nemotron", LLAMA),
    "persimmon": ("persimmon", LLAMA),
    "glm": ("glm", LLAMA | {"head_dim": 8}),
    "glm4": ("glm4", LLAMA | {"head_dim": 8}),
    "smollm3": ("smollm3", LLAMA | {"no_rope_layers": [1, 0]}),
    "helium": ("helium", LLAMA | {"head_dim": 8}),
    "exaone4": ("exaone4", LLAMA | WINDOW | MIXED),
    "ernie4.5": ("ernie4_5", LLAMA | {"head_dim": 8}),
    "gpt-oss": ("gpt_oss", LLAMA | EXPERTS | WINDOW | {"head_dim": 8}),
    "deepseek-v2": ("deepseek_v2", LLAMA | EXPERTS | LATENT),
    "deepseek-v3": ("deepseek_v3", LLAMA | EXPERTS | LATENT),
    "llama4": ("llama4_text", LLAMA | EXPERTS | {"head_dim": 8, "attention_chunk_size": 8,
               "intermediate_size_mlp": 64}),
    "diffllama": ("diffllama", LLAMA),
    "gpt2": ("gpt2", GPT2),
    "gpt-bigcode": ("gpt_bigcode", GPT2),
    "gptj": ("gptj", GPT2 | {"rotary_dim": 4}),
    "codegen": ("codegen", GPT2 | {"rotary_dim": 4, "n_ctx": 256}),
    "gpt-neo": ("gpt_neo", {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "window_size": 8,
                "attention_types": [[["global", "local"], 1]], "max_position_embeddings": 256}),
    "gpt-neox": ("gpt_neox", LLAMA),
    "opt": ("opt", OPT | {"ffn_dim": 64, "word_embed_proj_dim": 32}),
    "biogpt": ("biogpt", OPT | {"intermediate_size": 64}),
    "xglm": ("xglm", {"d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 64,
             "max_position_embeddings": 256}),
    "bloom": ("bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "mpt": ("mpt", {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 256, "expansion_ratio": 2}),
    "falcon": ("falcon", OPT | {"new_decoder_architecture": False, "multi_query": True}),
    "falcon-alibi": ("falcon", OPT | {"alibi": True}),
    "mamba": ("mamba", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}),
    "mamba2": ("mamba2", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "num_heads": 4, "head_dim": 16,
               "n_groups": 1, "chunk_size": 8}),
    "falcon-mamba": ("falcon_mamba", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}),
    "recurrent-gemma": ("recurrent_gemma", LLAMA | {"lru_width": 32, "attention_window_size": 8, "num_hidden_layers": 3,
                        "head_dim": 8}),
    "jamba": ("jamba", LLAMA | EXPERTS | {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 8,
              "mamba_dt_rank": 4, "use_mamba_kernels": False}),
    "bamba": ("bamba", LLAMA | MAMBA | {"attn_layer_indices": [1]}),
    "falcon-h1": ("falcon_h1", LLAMA | MAMBA | {"mamba_d_ssm": 64}),
    "granite-hybrid": ("granitemoehybrid", LLAMA | EXPERTS | MAMBA | {"layer_types": ["mamba", "attention"],
                       "shared_intermediate_size": 32}),
    "lfm2": ("lfm2", LLAMA | {"layer_types": ["conv", "full_attention"], "block_multiple_of": 8}),
    "minimax": ("minimax", LLAMA | EXPERTS | {"layer_types": ["linear_attention", "full_attention"], "block_size": 8}),
    "rwkv": ("rwkv", {"hidden_size": 32, "num_hidden_layers": 2, "context_length": 256}),
    "ctrl": ("ctrl", {"n_embd": 32, "n_layer": 2, "n_head": 4, "dff": 64, "n_positions": 256}),
    "openai-gpt": ("openai-gpt", GPT2),
}  # fmt: skip
"""A family, or a setting of one that decides: its name in transformers, and its sizes."""


SIZE = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 256,
        "decoder_start_token_id": 1, "forced_eos_token_id": None}  # fmt: skip
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4,
      "decoder_start_token_id": 0}  # fmt: skip
SEQ2SEQ: dict[str, tuple[str, dict[str, Any]]] = {
    "marian": ("marian", SIZE | {"decoder_vocab_size": 260}),
    "bart": ("bart", SIZE),
    "mbart": ("mbart", SIZE),
    "m2m100": ("m2m_100", SIZE),
    "pegasus": ("pegasus", SIZE),
    "pegasus-x": ("pegasus_x", SIZE | {"block_size": 8, "num_global_tokens": 4}),
    "bigbird-pegasus": ("bigbird_pegasus", SIZE | {"attention_type": "original_full"}),
    "blenderbot": ("blenderbot", SIZE),
    "blenderbot-small": ("blenderbot-small", SIZE),
    "plbart": ("plbart", SIZE),
    "mvp": ("mvp", SIZE),
    "led": ("led", SIZE | {"attention_window": 8, "max_encoder_position_embeddings": 256,
            "max_decoder_position_embeddings": 256}),
    "prophetnet": ("prophetnet", {"hidden_size": 32, "encoder_ffn_dim": 64, "num_encoder_layers": 2,
                   "num_encoder_attention_heads": 4, "decoder_ffn_dim": 64, "num_decoder_layers": 2,
                   "num_decoder_attention_heads": 4, "max_position_embeddings": 256, "decoder_start_token_id": 0}),
    "t5": ("t5", T5),
    "mt5": ("mt5", T5),
    "umt5": ("umt5", T5),
    "longt5": ("longt5", T5 | {"local_radius": 4}),
    "switch": ("switch_transformers", T5 | {"num_experts": 4, "num_sparse_encoder_layers": 1,
               "num_sparse_decoder_layers": 1}),
}  # fmt: skip


def build(name: str, *, scale: float = 3.0, **own: Any) -> Any:
    """A model with random weights, spread out so that rounding decides nothing."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    auto = AutoModelForCausalLM if name in CAUSAL else AutoModelForSeq2SeqLM
    kind, sizes = (CAUSAL | SEQ2SEQ)[name]
    torch.manual_seed(7)
    config = AutoConfig.for_model(kind, **VOCABULARY | sizes | own)
    model = auto.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    return model.eval()

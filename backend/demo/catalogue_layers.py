"""The large blobs of the demo registry: what each holds, how long it is, and its digest, computed once.

Layers of an image, weights of a model artifact. `LARGE` names them all.
"""

from __future__ import annotations

from typing import Final

from backend.demo.images_streams import Stream

UBUNTU_2204: Final = Stream(
    "rootfs/ubuntu-22.04",
    29_535_744,
    "sha256:0283dbfb7efa93897658df7bccffeb59dc5fa483f5997fc5b501139faaaa76aa",
)
UBUNTU_2404: Final = Stream(
    "rootfs/ubuntu-24.04",
    29_723_136,
    "sha256:4f0cf9f8dd9ffe79e9d494e92e5ee30ec4f1b1ced821c66d446d40c31248a97a",
)
UBUNTU_2404_ARM64: Final = Stream(
    "rootfs/ubuntu-24.04-arm64",
    28_861_440,
    "sha256:957cd28cf6914347bba320b55ef137766a027bd351b5844de1ce419d14ab846d",
)
DEBIAN_12: Final = Stream(
    "rootfs/debian-12",
    28_231_168,
    "sha256:8b152291ef46fc406981dd843b8ef1f860ada5aed7d442da91567bc3d4b2e7ec",
)
PYTHON: Final = Stream(
    "usr/local/lib/python3.12",
    48_652_288,
    "sha256:18f34e8e2d531817b69b86e85c995e4910ce851d26789beef215603186d99bbc",
)
PYTHON_ARM64: Final = Stream(
    "usr/local/lib/python3.12-arm64",
    46_809_088,
    "sha256:44c167f61483164a7d942bee50af58e494f478b10681b8e7be028bb5486b6ead",
)
CUDA_124: Final = Stream(
    "usr/local/cuda-12.4",
    1_214_316_544,
    "sha256:1ff6626a9f024475d1f7041b8ca1723904c10db9aa5954fbcaeb694f916580a1",
)
CUDA_128: Final = Stream(
    "usr/local/cuda-12.8",
    1_391_362_048,
    "sha256:651eeb7c506f35f9f0e8cb6f16e2aa653d3238b55ebbf563fe2fc149f4236346",
)
CUDA_128_ARM64: Final = Stream(
    "usr/local/cuda-12.8-arm64",
    1_258_291_200,
    "sha256:9f763ae1c16caf52840e6c515dd86491155e9026695ed7cf63e6c6777ad7ff71",
)
NIM_LLM: Final = Stream(
    "opt/nim/llm",
    1_741_160_448,
    "sha256:be28449b7b907323d041ea88978dafdee2d528b627cbb1fdff73117c3238e1f6",
)
NIM_LLM_ARM64: Final = Stream(
    "opt/nim/llm-arm64",
    1_590_919_168,
    "sha256:8365a98833221b18bf832c88759fc8b7083684afb1ee7440dcb6365f0b47ca15",
)
NIM_RETRIEVER: Final = Stream(
    "opt/nim/retriever",
    903_086_080,
    "sha256:15e1d2a6f18e4fb50f81eb285f8db971b02c0e0fe2a9accb6695426dc29a0b03",
)
NIM_VISION: Final = Stream(
    "opt/nim/vision",
    1_120_403_456,
    "sha256:51d68d2d5ef9b40dcae249292d1b093df748410bd31b56945a9123c30a91a116",
)
VLLM: Final = Stream(
    "usr/local/lib/vllm",
    1_962_934_272,
    "sha256:5878b480c9469470432322b743426a833afd03c420429298fa317096dd9daa8c",
)
VLLM_ARM64: Final = Stream(
    "usr/local/lib/vllm-arm64",
    1_719_664_640,
    "sha256:eef0aebcdd6d6e81f5769378a78f63c6a05e0d4d374d26733de046b75d7ffd94",
)
SGLANG: Final = Stream(
    "sgl-workspace/sglang",
    2_147_483_648,
    "sha256:b3fd7ce743f611532a69d6dcd2de7935d762fbfb9ed70f72d5d26266640283b6",
)
TGI: Final = Stream(
    "usr/local/lib/text-generation-inference",
    1_342_177_280,
    "sha256:3635b477d21a89009188acc3037a7be0c26b164ea4a5398548df1659314e01a8",
)
TEI: Final = Stream(
    "usr/local/bin/text-embeddings-router",
    218_103_808,
    "sha256:aec58bf14937220aee951fc1e687ed9c1f43ae2c83c46bb4141b79443815ad35",
)
TRITON: Final = Stream(
    "opt/tritonserver",
    1_879_048_192,
    "sha256:615f625fe5cdf6ca6bd3fbc1c8539ce53ec6aefc429b06b05fff025280528acf",
)
TENSORRT_LLM: Final = Stream(
    "usr/local/lib/tensorrt_llm",
    2_415_919_104,
    "sha256:9ee348bf521176d7c196d414399537091f64caf22295641598c085baf7181dd5",
)
NGINX: Final = Stream(
    "usr/share/nginx",
    43_515_904,
    "sha256:dd008d7d14e643bb9d199c88f06940609c1eea0b5496d9cc34c81002c62bd866",
)
NGINX_ARM64: Final = Stream(
    "usr/share/nginx-arm64",
    41_943_040,
    "sha256:a3f512e075c6fd317c22cf7656c32d0a996b4472f83609b951d2b53a56e14ac4",
)
LLAMA_8B_WEIGHTS: Final = Stream(
    "model/llama-3.1-8b-instruct.safetensors",
    3_221_225_472,
    "sha256:2a92f1f29e8cfd47579689e78829985d0ced6481aae779c63119a39d64357e57",
)
BGE_M3_WEIGHTS: Final = Stream(
    "model/bge-m3.safetensors",
    1_135_554_560,
    "sha256:180f96510d921d9c889f321040743acdb8efe3d3d84fb268e9917ec0e2bcd67f",
)
GRANITE_WEIGHTS: Final = Stream(
    "models/granite-3.1-8b-instruct.safetensors",
    2_684_354_560,
    "sha256:ff58915a7fb3597163d00915cd581c8e3d4506167c909e3e3bd953c1a965f471",
)
SMOLLM2_GGUF: Final = Stream(
    "smollm2-1.7b-q4_k_m.gguf",
    1_055_608_832,
    "sha256:00e02c7e97d38a9dd5f573279de663288fea38f5f5f4b7178504910dafdffc99",
    tar=False,
)
GEMMA3_GGUF: Final = Stream(
    "gemma-3-4b-it-q4_k_m.gguf",
    2_489_892_864,
    "sha256:6ac409f1867d9126e421ea98f4423b490cc920d3098f50fee9b2918dde889fba",
    tar=False,
)

LARGE: Final = (
    UBUNTU_2204,
    UBUNTU_2404,
    UBUNTU_2404_ARM64,
    DEBIAN_12,
    PYTHON,
    PYTHON_ARM64,
    CUDA_124,
    CUDA_128,
    CUDA_128_ARM64,
    NIM_LLM,
    NIM_LLM_ARM64,
    NIM_RETRIEVER,
    NIM_VISION,
    VLLM,
    VLLM_ARM64,
    SGLANG,
    TGI,
    TEI,
    TRITON,
    TENSORRT_LLM,
    NGINX,
    NGINX_ARM64,
    LLAMA_8B_WEIGHTS,
    BGE_M3_WEIGHTS,
    GRANITE_WEIGHTS,
    SMOLLM2_GGUF,
    GEMMA3_GGUF,
)

"""The table of contents: what `afm_hf.<Name>` is, and where it lives. Each is imported when it is used."""

from .adaptation.test_time.domain_vector import DomainVector as DomainVector
from .audio.audio_checks import AudioDecodeError as AudioDecodeError
from .audio.audio_loading import load_audio as load_audio
from .hub.bundled import bundled_audio as bundled_audio
from .hub.bundled import bundled_model as bundled_model
from .hub.cards import model_card as model_card
from .hub.code import push_with_code as push_with_code
from .hub.code import save_with_code as save_with_code
from .models.adiff.configuration_adiff import AdiffConfig as AdiffConfig
from .models.adiff.feature_extraction_adiff import AdiffFeatureExtractor as AdiffFeatureExtractor
from .models.adiff.modeling_adiff import AdiffForConditionalGeneration as AdiffForConditionalGeneration
from .models.adiff.modeling_adiff import AdiffModel as AdiffModel
from .models.adiff.processing_adiff import AdiffProcessor as AdiffProcessor
from .models.clap_afm.configuration_clap_afm import ClapAfmAudioConfig as ClapAfmAudioConfig
from .models.clap_afm.configuration_clap_afm import ClapAfmConfig as ClapAfmConfig
from .models.clap_afm.configuration_clap_afm import ClapAfmTextConfig as ClapAfmTextConfig
from .models.clap_afm.feature_extraction_clap_afm import ClapAfmFeatureExtractor as ClapAfmFeatureExtractor
from .models.clap_afm.modeling_clap_afm import ClapAfmAudioModel as ClapAfmAudioModel
from .models.clap_afm.modeling_clap_afm import ClapAfmAudioModelWithProjection as ClapAfmAudioModelWithProjection
from .models.clap_afm.modeling_clap_afm import ClapAfmForAudioClassification as ClapAfmForAudioClassification
from .models.clap_afm.modeling_clap_afm import ClapAfmModel as ClapAfmModel
from .models.clap_afm.modeling_clap_afm import ClapAfmTextModel as ClapAfmTextModel
from .models.clap_afm.modeling_clap_afm import ClapAfmTextModelWithProjection as ClapAfmTextModelWithProjection
from .models.clap_afm.processing_clap_afm import ClapAfmProcessor as ClapAfmProcessor
from .models.clapcap.configuration_clap_afm_captioning import ClapAfmCaptioningConfig as ClapAfmCaptioningConfig
from .models.clapcap.modeling_clap_afm_captioning import ClapAfmCaptioningModel as ClapAfmCaptioningModel
from .models.clapcap.modeling_clap_afm_captioning import (
    ClapAfmForConditionalGeneration as ClapAfmForConditionalGeneration,
)
from .models.clapcap.processing_clap_afm_captioning import ClapAfmCaptioningProcessor as ClapAfmCaptioningProcessor
from .models.cnn14.configuration_afm_cnn14 import AfmCnn14Config as AfmCnn14Config
from .models.cnn14.modeling_afm_cnn14 import AfmCnn14Model as AfmCnn14Model
from .models.common.feature_extraction_afm import AfmFeatureExtractor as AfmFeatureExtractor
from .models.effects_cnn.configuration_afm_effects_cnn import AfmEffectsCnnConfig as AfmEffectsCnnConfig
from .models.effects_cnn.feature_extraction_afm_effects_cnn import (
    AfmEffectsCnnFeatureExtractor as AfmEffectsCnnFeatureExtractor,
)
from .models.effects_cnn.modeling_afm_effects_cnn import AfmEffectsCnnModel as AfmEffectsCnnModel
from .models.encoders.configuration_afm_encoders import AfmEarsConfig as AfmEarsConfig
from .models.encoders.feature_extraction_afm_encoders import AfmEarsFeatureExtractor as AfmEarsFeatureExtractor
from .models.encoders.modeling_afm_encoders import AfmEarsModel as AfmEarsModel
from .models.htsat.configuration_afm_htsat import AfmHtsatConfig as AfmHtsatConfig
from .models.htsat.modeling_afm_htsat import AfmHtsatModel as AfmHtsatModel
from .models.mellow.configuration_mellow import MellowConfig as MellowConfig
from .models.mellow.feature_extraction_mellow import MellowFeatureExtractor as MellowFeatureExtractor
from .models.mellow.modeling_mellow import MellowForCausalLM as MellowForCausalLM
from .models.mellow.modeling_mellow import MellowModel as MellowModel
from .models.mellow.processing_mellow import MellowProcessor as MellowProcessor
from .models.pengi.configuration_pengi import PengiConfig as PengiConfig
from .models.pengi.feature_extraction_pengi import PengiFeatureExtractor as PengiFeatureExtractor
from .models.pengi.modeling_pengi import PengiForConditionalGeneration as PengiForConditionalGeneration
from .models.pengi.modeling_pengi import PengiModel as PengiModel
from .models.pengi.processing_pengi import PengiProcessor as PengiProcessor
from .models.prefix_lm.generation_afm import average_log_prob_beam_search as average_log_prob_beam_search
from .models.prefix_lm.interpretation_afm import interpret_prefix as interpret_prefix
from .models.prefix_lm.scoring_afm import score_answers as score_answers
from .models.speech_encoder.configuration_afm_speech_encoder import AfmSpeechEncoderConfig as AfmSpeechEncoderConfig
from .models.speech_encoder.feature_extraction_afm_speech import AfmSpeechFeatureExtractor as AfmSpeechFeatureExtractor
from .models.speech_encoder.modeling_afm_speech_encoder import AfmSpeechEncoderModel as AfmSpeechEncoderModel
from .models.yamnet.configuration_afm_yamnet import AfmYamnetConfig as AfmYamnetConfig
from .models.yamnet.feature_extraction_afm_yamnet import AfmYamnetFeatureExtractor as AfmYamnetFeatureExtractor
from .models.yamnet.modeling_afm_yamnet import AfmYamnetForAudioClassification as AfmYamnetForAudioClassification
from .models.yamnet.modeling_afm_yamnet import AfmYamnetModel as AfmYamnetModel
from .pipelines.pipeline_audio_captioning import AudioCaptioningPipeline as AudioCaptioningPipeline
from .pipelines.pipeline_audio_classification import AudioClassificationPipeline as AudioClassificationPipeline
from .pipelines.pipeline_audio_difference import AudioDifferencePipeline as AudioDifferencePipeline
from .pipelines.pipeline_audio_entailment import AudioEntailmentPipeline as AudioEntailmentPipeline
from .pipelines.pipeline_audio_quality_assessment import (
    AudioQualityAssessmentPipeline as AudioQualityAssessmentPipeline,
)
from .pipelines.pipeline_audio_question_answering import (
    AudioQuestionAnsweringPipeline as AudioQuestionAnsweringPipeline,
)
from .pipelines.pipeline_audio_text_generation import AudioTextGenerationPipeline as AudioTextGenerationPipeline
from .pipelines.pipeline_feature_extraction import FeatureExtractionPipeline as FeatureExtractionPipeline
from .pipelines.pipeline_test_time_adaptation import TestTimeAdaptationPipeline as TestTimeAdaptationPipeline
from .pipelines.pipeline_zero_shot_audio_classification import (
    ZeroShotAudioClassificationPipeline as ZeroShotAudioClassificationPipeline,
)
from .pipelines.timeline_events import find_events as find_events
from .retrieval.embedding import embed_files as embed_files
from .retrieval.index import AudioIndex as AudioIndex

__version__: str

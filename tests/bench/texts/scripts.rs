//! Sentences in Chinese and Arabic.

use super::Draw;

const ZH_WHO: &str = "我们 他们 用户 老师 学生 经理 邻居 医生 工程师 客户 作者 司机 记者 厨师 朋友 家长 员工 顾客 律师 同事 游客 农民 编辑 校长 护士 船长 店主 志愿者 研究员 设计师";
const ZH_WHEN: &str = "今天 昨天 明天 上周 下个月 去年 早上 晚上 中午 周末 刚才 最近 以前 后来 春天 夏天 秋天 冬天 会议之后 吃饭的时候 放假期间 开学以前";
const ZH_HOW: &str =
    "已经 正在 认真地 慢慢地 突然 一起 经常 很少 终于 再次 悄悄地 仔细地 顺利地 勉强 立刻 继续 重新 亲自 主动 随便";
const ZH_DO: &str = "准备 讨论 整理 检查 介绍 购买 打开 关闭 修改 完成 推荐 比较 分析 记录 翻译 安装 参观 解释 收集 设计 计算 安排 发送 保存 观察 测试 改进 描述 支持 选择 练习 总结 学习 更新 运输 清洗 寻找 评价 申请 预订";
const ZH_WHAT: &str = "报告 计划 时间表 问题 房间 火车票 数据 图书 项目 产品 餐厅 城市 电影 天气 价格 合同 邮件 课程 照片 地图 手机 系统 文章 公园 音乐 机器 花园 窗户 市场 经验 建议 结果 方法 历史 文化 环境 能源 设备 材料 程序 网站 表格 预算 订单 包裹 教室 博物馆 桥梁 码头 航班 仓库 工厂 河流 森林 医院 图表 样品 发票 故事 菜单";
const ZH_LIKE: &str = "新的 重要的 便宜的 安静的 漂亮的 复杂的 简单的 古老的 有趣的 红色的 巨大的 完整的 普通的 特别的 最后的 干净的 传统的 现代的 免费的 清楚的 季度的 公开的 临时的 长期的 附近的 详细的";
const ZH_JOIN: &str = "，但是 ，所以 ，而且 ，不过 ，因此 ，然后 ，同时 ，其中 ，例如 ，因为 ；";
const ZH_END: &str = "。 。 。 。 ！ ？";

const AR_NOUN: &str = "كتاب مدينة بيت سيارة مدرسة طالب معلم طبيب مستشفى شارع حديقة سوق مطبخ نافذة باب قلم ورقة صورة فيلم موسيقى رسالة بريد تقرير مشروع شركة موظف مدير اجتماع خطة جدول سؤال جواب مشكلة فكرة رحلة مطار قطار سفينة ميناء بحر نهر جبل غابة شجرة زهرة طعام خبز ماء قهوة شاي صباح مساء يوم أسبوع شهر سنة ساعة تاريخ لغة ترجمة مقال صحيفة مكتبة متحف جسر برج مصنع مزرعة فلاح صياد سائق مهندس محام عميل منتج سعر فاتورة حساب طلب خدمة برنامج حاسوب هاتف شبكة موقع نظام بيانات نتيجة طريقة تجربة دراسة بحث جامعة";
const AR_VERB: &str = "كتب قرأ فتح أغلق شرح درس وصل سافر رجع اشترى باع صنع رسم جمع حفظ أرسل استلم راجع ناقش قارن حلل سجل ترجم زار شاهد سمع طلب أعد رتب نظف بنى أصلح اختار وجد فقد عرف فهم تعلم علم ساعد شكر انتظر بدأ أنهى غير حسن قاس حسب";
const AR_LIKE: &str = "جديد قديم كبير صغير طويل قصير سريع بطيء جميل هادئ مهم بسيط معقد رخيص غال قريب بعيد نظيف مفتوح مغلق عام خاص أول أخير ممتاز واضح كامل محلي دولي حديث تقليدي مفيد ممكن صعب سهل أحمر أزرق أخضر";
const AR_WHEN: &str = "أمس اليوم غدا صباحا مساء دائما أحيانا غالبا نادرا الآن لاحقا قبل بعد أثناء منذ حتى";
const AR_JOIN: &str = "و ثم لكن لأن بينما حيث كما إذا أو لذلك";
const AR_TO: &str = "في على من إلى عن مع بين تحت فوق أمام خلف قرب";

/// The vocabularies.
pub struct Scripts {
    zh: [Vec<&'static str>; 8],
    ar: [Vec<&'static str>; 6],
}

impl Scripts {
    /// Both of them.
    pub fn new() -> Scripts {
        let list = |words: &'static str| words.split_ascii_whitespace().collect();
        Scripts {
            zh: [ZH_WHO, ZH_WHEN, ZH_HOW, ZH_DO, ZH_WHAT, ZH_LIKE, ZH_JOIN, ZH_END].map(list),
            ar: [AR_NOUN, AR_VERB, AR_LIKE, AR_WHEN, AR_JOIN, AR_TO].map(list),
        }
    }

    /// One Chinese sentence; a line feed after some.
    pub fn chinese(&self, draw: &mut Draw, out: &mut String) {
        let [who, when, how, action, what, like, join, end] = &self.zh;
        for part in 0..draw.between(1, 3) {
            if part > 0 {
                out.push_str(draw.pick(join));
            }
            if draw.one_in(2) {
                out.push_str(draw.pick(when));
            }
            match draw.below(5) {
                0 => out.push_str(&format!("{}的{}", draw.pick(who), draw.pick(what))),
                1 => out.push_str(&format!("{}和{}", draw.pick(who), draw.pick(who))),
                _ => out.push_str(draw.pick(who)),
            }
            if draw.one_in(2) {
                out.push_str(draw.pick(how));
            }
            out.push_str(draw.pick(action));
            out.push_str(draw.pick(&["了", "", "过", "着"]));
            match draw.below(6) {
                0 => out.push_str(&format!("{}个{}", draw.between(2, 300), draw.pick(what))),
                1 => out.push_str(&format!("《{}{}》", draw.pick(like), draw.pick(what))),
                2 => out.push_str(&format!("{}{}、{}", draw.pick(like), draw.pick(what), draw.pick(what))),
                3 => out.push_str(&format!("“{}{}”", draw.pick(like), draw.pick(what))),
                _ => out.push_str(&format!("{}{}", draw.pick(like), draw.pick(what))),
            }
        }
        out.push_str(draw.pick(end));
        if draw.one_in(5) {
            out.push('\n');
        }
    }

    /// One Arabic sentence; a line feed after some.
    pub fn arabic(&self, draw: &mut Draw, out: &mut String) {
        let [noun, verb, like, when, join, to] = &self.ar;
        for part in 0..draw.between(1, 3) {
            if part > 0 {
                out.push_str(draw.pick(&["، ", " "]));
                out.push_str(&format!("{} ", draw.pick(join)));
            }
            out.push_str(&format!("{}{} ", draw.pick(&["", "", "و", "ف", "س"]), draw.pick(verb)));
            out.push_str(&format!("{}{} ", draw.pick(&["ال", "ال", "", "بال"]), draw.pick(noun)));
            match draw.below(4) {
                0 => out.push_str(&format!("{} {} ", draw.between(2, 500), draw.pick(noun))),
                1 => out.push_str(&format!("{} ال{} ", draw.pick(to), draw.pick(noun))),
                2 => out.push_str(&format!("«{} {}» ", draw.pick(noun), draw.pick(like))),
                _ => out.push_str(&format!("{}ا ", draw.pick(like))),
            }
            out.push_str(draw.pick(when));
        }
        out.push_str(draw.pick(&[". ", ". ", ". ", "؟ ", "! "]));
        if draw.one_in(6) {
            out.push('\n');
        }
    }
}
